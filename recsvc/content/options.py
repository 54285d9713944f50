"""Which properties are encoded, and by what."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from loaders.graph_map import is_name
from loaders.limits import MAX_NAME_CHARACTERS


def _listed(value: object) -> object:
    """Names with commas between, as `--set` gives them, apart."""
    return tuple(filter(None, value.split(","))) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed), Field(max_length=20)]


class ContentSource(BaseModel):
    """Where the vectors of the nodes come from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    items: Names = ("title",)
    """Properties of an item that make its text, in this order; as text, with commas between."""
    categories: Names = ("name",)
    """Properties of an item's categories that are added to its text."""
    users: Names = ()
    """Properties of a user that make their text. It counts for `similar` users alone."""
    encoder: str = "sentence-transformers"
    """What encodes texts: `sentence-transformers`, `model2vec`, or a function of your own as
    `module:function`, which takes a list of texts and gives an array [texts, dimensions]."""
    encoder_model: str = ""
    """What the first two of these load: a folder with a model, or a name they know."""
    images: str = ""
    """Property of an item with the path of an image below `image_folder`. Empty: no images."""
    image_folder: Path | None = None
    """Folder of the images; no other file is read."""
    image_encoder: str = ""
    """What encodes images: a function as `module:function`, which takes a list of paths."""
    image_weight: float = Field(default=1.0, ge=0.0, le=100.0)
    """How much the similarity of images counts beside that of texts."""

    @property
    def texts(self) -> bool:
        """Whether any text is encoded."""
        return bool(self.items or self.categories or self.users)

    @model_validator(mode="after")
    def _agree(self) -> "ContentSource":
        for name in (*self.items, *self.categories, *self.users, *filter(None, [self.images])):
            if not is_name(name) or len(name) > MAX_NAME_CHARACTERS:
                raise ValueError(f"{name!r} is no name of a property")
        if not self.items and not self.categories and not self.images:
            raise ValueError("items, categories and images are empty: name a property to encode")
        if self.images and not (self.image_folder and self.image_encoder):
            raise ValueError(
                f"images={self.images!r} without image_folder and image_encoder: name the folder "
                "that the paths are below, and a function as module:function"
            )
        return self
