-- Who made a budget: an actor's id. Of those from before, nobody knows; they count as the instance's.
alter table ledger_budgets add column created_by text not null default '';
