// Some properties of some items, each as a list of numbers: a number between -1e9 and 1e9 alone,
// true as 1 and false as 0, also as text, the first 4,096 of a list of numbers, and nothing of all
// else.
// mode: read
// params: ids: list[str], names: list[str]
// returns: ids: list[str], values: list[list[list[float]]]
MATCH (item:Item)
WHERE item.item_id IN $ids
WITH item.item_id AS id, [name IN $names | item[name]] AS found
WITH id, [value IN found |
       CASE WHEN NOT value IS :: STRING NOT NULL THEN value
            WHEN toLower(value) IN ['true', 'false'] THEN toLower(value) = 'true'
            WHEN value =~ '-?[0-9]+(\\.[0-9]+)?([eE][+-]?[0-9]+)?' THEN toFloat(value) END] AS read
RETURN collect(id) AS ids,
       collect([value IN read |
         CASE WHEN -1e9 <= value <= 1e9 THEN [toFloat(value)]
              WHEN value = true THEN [1.0] WHEN value = false THEN [0.0]
              WHEN valueType(value) IN ['LIST<INTEGER NOT NULL> NOT NULL',
                                        'LIST<FLOAT NOT NULL> NOT NULL']
                AND all(each IN value WHERE -1e9 <= each <= 1e9)
                THEN [each IN value[..4096] | toFloat(each)]
              ELSE [] END]) AS values
