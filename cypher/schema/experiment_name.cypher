// One node per experiment.
// mode: schema
CREATE CONSTRAINT recsvc_experiment_name IF NOT EXISTS
FOR (e:Experiment) REQUIRE e.name IS UNIQUE
