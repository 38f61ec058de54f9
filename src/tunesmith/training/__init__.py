"""How it is learned: the plan, the model, the engine, its reports and the evidence afterwards."""
