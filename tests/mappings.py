"""Mappings of graphs of others that tests share."""

from loaders.graph_map import GraphMap

NORTHWIND = GraphMap.model_validate({
    "user": {"label": "Customer", "id": "customerID", "title": "companyName"},
    "item": {
        "label": "Product", "id": "productID", "title": "productName",
        "available": "item.discontinued = '0'",
    },
    "category": {
        "category": {"label": "Category", "id": "categoryID", "title": "categoryName"},
        "supplier": {"label": "Supplier", "id": "supplierID", "title": "companyName"},
    },
    "interactions": [{
        "path": "(user)-[:PURCHASED]->(order:Order)-[line:ORDERS]->(item)",
        "event": "purchase", "value": "line.quantity", "timestamp": "order.orderDate",
    }],
    "item_categories": [
        {"path": "(item)-[:PART_OF]->(category)"}, {"path": "(item)<-[:SUPPLIES]-(category)"}
    ],
})  # fmt: skip

MOVIES = GraphMap.model_validate({
    "user": {"label": "User", "id": "userId"},
    "item": {"label": "Movie", "id": "movieId", "title": "title"},
    "category": {"genre": {"label": "Genre", "id": "name"}},
    "interactions": [{
        "path": "(user)-[rated:RATED]->(item)", "event": "rating",
        "value": "rated.rating - 3.5", "timestamp": "rated.timestamp",
    }],
    "item_categories": [{"path": "(item)-[:IN_GENRE]->(category)"}],
})  # fmt: skip

MANY_WAYS = GraphMap.model_validate({
    "user": {"label": "Customer", "id": "id", "title": "name", "where": "user.active = true"},
    "item": {"label": "Product", "id": "id", "title": "full name", "where": "item.price > 0"},
    "category": {"tag": {"label": "Tag", "id": "name"}},
    "interactions": [
        {
            "path": "(user)-[:PURCHASED]->(order:Order)-[line:ORDERS]->(item)",
            "event": "purchase", "where": "order.paid = true",
        },
        {"path": "(user)<-[seen:VIEWED_BY]-(item)", "event": "seen.kind"},
    ],
    "follows": [{"path": "(user)-[:KNOWS]-(other)"}],
    "item_categories": [{"path": "(item)-[:TAGGED]->(category)"}],
})  # fmt: skip
