"""What analysts get: the questions under `cypher/analyst/` in the forms their tools take."""
