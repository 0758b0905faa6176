-- The team whose administrator made a budget; empty if it was the instance's. Of those from before, nobody knows: they are the instance's.
alter table ledger_budgets add column made_in text not null default '';
