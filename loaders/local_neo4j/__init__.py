"""The Neo4j that is started on this machine where none is given.

Neo4j Community runs in Docker where an engine answers (`docker-compose.yml`), else as a Java
process from Neo4j's Maven artifacts (`deploy/neo4j/pom.xml`). Everything it keeps is in one folder:

    HOME/neo4j/
        data/          the databases
        logs/          Neo4j's own logs (rolled by size) and console.log of the Java process
        conf/          neo4j.conf, written at each start
        import/        the files of `ingest --bulk`, while it runs and holds import.lock
        lib-…/         the jars, named after the version and the pom they come from
        password       mode 0600
        data-version   the version of Neo4j that wrote data/ last
        half-loaded    there while the graph is being loaded, and when that was cut off
        server.json    how the last server was started: its process id and ports
        server.lock    locked by the Java process itself for as long as it lives
        lock           held while a command starts or stops the server
"""

from loaders.local_neo4j._copy import (
    GraphCopy,
    accounts_changed,
    copy_graph,
    dump_file,
    dump_graph,
    forget_data,
    loading_graph,
)
from loaders.local_neo4j._local import LocalNeo4j
from loaders.local_neo4j._options import LocalNeo4jOptions, free_port_after
from loaders.local_neo4j._scratch import scratch_server
from loaders.local_neo4j._status import LocalNeo4jStatus
from loaders.local_neo4j._versions import DEFAULT_LINE, is_later_line, neo4j_version, neo4j_versions

__all__ = [
    "DEFAULT_LINE",
    "GraphCopy",
    "LocalNeo4j",
    "LocalNeo4jOptions",
    "LocalNeo4jStatus",
    "accounts_changed",
    "copy_graph",
    "dump_file",
    "dump_graph",
    "forget_data",
    "free_port_after",
    "is_later_line",
    "loading_graph",
    "neo4j_version",
    "neo4j_versions",
    "scratch_server",
]
