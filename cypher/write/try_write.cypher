// Writes something that is rolled back: whether the database can be written. It takes no lock that
// any other writer wants.
// mode: write
CREATE (node)
DELETE node
