// Makes every other writer of this project wait until the transaction ends. Neo4j locks the
// relationships that stand first in the chains of both end nodes, so two writers can dead-lock
// even where they touch different nodes; one after the other they cannot. What is locked is the
// entry in the constraint's index: no node is left.
// mode: write
MERGE (lock:WriteLock {name: 'writes'})
DELETE lock
