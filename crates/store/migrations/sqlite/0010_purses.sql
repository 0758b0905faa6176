-- What processes keep in memory of accounts and budgets is noted when it changes, so that none needs another's clock to find it. What
-- is given and spent is not: that comes with leases.

create trigger ledger_accounts_made after insert on ledger_accounts when new.prepaid = 1 begin
    update change_counter set number = number + 1;
    insert into changes (number, noun, id) select number, 'account', new.name from change_counter;
end;
create trigger ledger_accounts_noted after update of prepaid, read_only on ledger_accounts
when old.prepaid <> new.prepaid or old.read_only <> new.read_only begin
    update change_counter set number = number + 1;
    insert into changes (number, noun, id) select number, 'account', new.name from change_counter;
end;
create trigger ledger_budgets_made after insert on ledger_budgets begin
    update change_counter set number = number + 1;
    insert into changes (number, noun, id) select number, 'budget', new.id from change_counter;
end;
create trigger ledger_budgets_noted after update on ledger_budgets begin
    update change_counter set number = number + 1;
    insert into changes (number, noun, id) select number, 'budget', new.id from change_counter;
end;
