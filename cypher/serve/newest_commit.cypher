// Reads nothing. With the answer come the bookmark of the newest commit that the server has, and the
// name of the database.
// mode: autocommit
// returns: answers: bool
RETURN true AS answers
