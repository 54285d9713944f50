// Whether a user exists.
// mode: read
// params: user_id: str
// returns: found: bool
RETURN EXISTS { (:User {user_id: $user_id}) } AS found
