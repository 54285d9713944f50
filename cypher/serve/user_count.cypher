// How many users there are, which Neo4j keeps count of.
// mode: read
// returns: users: int
MATCH (user:User)
RETURN count(user) AS users
