"""What nodes say of themselves, as vectors: texts, images, encoders, and vectors that are kept."""
