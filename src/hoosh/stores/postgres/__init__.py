"""PostgreSQL: budgets and keys of gateways on any number of machines."""
