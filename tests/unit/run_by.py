"""Which test runs which snippet of the guide."""

RUN_BY = {
    "README.md csv": "unit/test_docs.py::test_the_tables_of_the_readme_are_read",
    "README.md cypher": "integration/analyst/test_analyst_questions.py::test_queries_of_the_guide",
    "README.md json": "unit/test_docs.py::test_the_parts_of_the_example_add_up",
    "README.md sh": "unit/service/test_http_docs.py::"
    "test_the_requests_of_the_readme_and_of_a_deletion_are_answered",
    "docs/agents.md json": "unit/service/test_mcp.py::"
    "test_what_a_client_is_told_is_a_command_that_is_there",
    "docs/analysts.md cypher": "integration/analyst/test_analyst_questions.py::"
    "test_queries_of_the_guide",
    "docs/attach.md toml": "integration/test_attach.py::"
    "test_the_mapping_that_is_proposed_is_that_of_the_guide",
    "docs/evaluate.md sh": "unit/test_docs.py::test_the_commands_of_the_page_run",
    "docs/explanations.md json": "unit/test_docs.py::test_the_parts_of_the_example_add_up",
    "docs/explanations.md toml": "unit/explain/test_sentence.py::"
    "test_the_translation_of_the_guide_says_every_sentence",
    "docs/extract.md python": "unit/test_docs_queries.py::"
    "test_the_python_of_extracting_and_of_the_report_runs",
    "docs/http.md json": "unit/service/test_http_docs.py::test_an_example",
    "docs/http.md sh": "unit/service/test_http_docs.py::test_an_example",
    "docs/client.md javascript": "integration/serving/test_client.py::test_that_in_javascript_runs",
    "docs/client.md python": "integration/serving/test_client.py::test_that_in_python_runs",
    "docs/client.md sh": "integration/serving/test_client.py::test_those_in_a_shell_run",
    "docs/keys.md sh": "unit/test_docs.py::test_the_commands_of_keys_run",
    "docs/keys.md toml": "unit/test_docs.py::test_the_settings_of_tokens_are_read",
    "docs/metapaths.md cypher": "unit/test_docs_queries.py::"
    "test_the_metapath_of_the_guide_runs_and_its_paths_add_up",
    "docs/metapaths.md sh": "unit/test_docs_queries.py::test_the_check_of_the_guide_finds_nothing",
    "docs/models.md toml": "unit/test_docs.py::test_the_settings_of_content_are_read",
    "docs/python.md python": "unit/test_exported_members.py::test_the_examples_of_the_guide_run",
    "docs/recipes.md csv": "integration/test_recipes_of_files.py::test_a_dry_run_takes_the_files",
    "docs/recipes.md sh": "integration/test_recipes_of_files.py::"
    "test_from_file_to_explained_answer",
    "docs/report.md python": "unit/test_docs_queries.py::"
    "test_the_python_of_extracting_and_of_the_report_runs",
    "docs/settings.md toml": "unit/test_docs.py::test_the_settings_example_is_read",
    "docs/streams.md json": "unit/streams/test_messages.py::test_the_message_of_the_guide_is_read",
    "docs/streams.md toml": "unit/test_docs.py::test_the_settings_of_kafka_are_read",
    "docs/tables.md csv": "unit/test_docs.py::test_the_rejected_rows_of_the_guide_are_written_so",
    "docs/train.md sh": "unit/test_docs.py::test_the_commands_of_the_page_run",
}
"""What a page shows, by page and language, and the test that runs it.

A block without a language is what a command printed: the only one is an answer on Last.fm, cut.
Indented lines are taken by `test_every_command_shown_is_taken`, without being run: most of them
need a machine of their own, such as `recsvc serve`.
"""
