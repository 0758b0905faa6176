-- What every call did, one row each; pruned by age.
create table request_log (
  seq integer primary key,
  at bigint not null,
  request_id text not null,
  key_id text not null,
  key_name text not null,
  user_id text not null,
  team_id text not null,
  model text not null,
  operation text not null,
  deployment text not null,
  channel text not null,
  attempts bigint not null,
  trail text not null,
  input bigint,
  output bigint,
  cache_read bigint,
  cache_write bigint,
  reasoning bigint,
  audio_input bigint,
  audio_output bigint,
  basis text not null,
  cost bigint,
  arithmetic text not null,
  price text not null,
  latency_ms bigint not null,
  first_token_ms bigint,
  read_us bigint,
  planned_us bigint,
  queued_us bigint,
  answered_us bigint,
  status bigint not null,
  outcome text not null,
  error text not null,
  stream bigint not null,
  translated bigint not null,
  address text not null
);
create index request_log_at on request_log (at);
create index request_log_request on request_log (request_id);
create index request_log_key on request_log (key_id, at);
create index request_log_user on request_log (user_id, at);
create index request_log_team on request_log (team_id, at);
create index request_log_model on request_log (model, at);
create index request_log_deployment on request_log (deployment, at);
create index request_log_error on request_log (at) where status >= 400 or error <> '';

-- Sums over the log by day, kept when its rows are pruned. Each table leaves out what makes the one before it long.
create table usage_daily (
  day bigint not null,
  key_id text not null,
  user_id text not null,
  team_id text not null,
  model text not null,
  deployment text not null,
  channel text not null,
  key_name text not null,
  requests bigint not null,
  errors bigint not null,
  input bigint not null,
  output bigint not null,
  cache_read bigint not null,
  cache_write bigint not null,
  reasoning bigint not null,
  audio_input bigint not null,
  audio_output bigint not null,
  cost bigint not null,
  unpriced bigint not null,
  primary key (day, key_id, user_id, team_id, model, deployment, channel)
) without rowid;
create index usage_daily_key on usage_daily (key_id, day);
create index usage_daily_user on usage_daily (user_id, key_id, day);
create index usage_daily_team on usage_daily (team_id, key_id, day);

create table usage_daily_users (
  day bigint not null,
  user_id text not null,
  team_id text not null,
  model text not null,
  deployment text not null,
  channel text not null,
  requests bigint not null,
  errors bigint not null,
  input bigint not null,
  output bigint not null,
  cache_read bigint not null,
  cache_write bigint not null,
  reasoning bigint not null,
  audio_input bigint not null,
  audio_output bigint not null,
  cost bigint not null,
  unpriced bigint not null,
  primary key (day, user_id, team_id, model, deployment, channel)
) without rowid;
create index usage_daily_users_user on usage_daily_users (user_id, day);
create index usage_daily_users_team on usage_daily_users (team_id, user_id, day);

create table usage_daily_teams (
  day bigint not null,
  team_id text not null,
  model text not null,
  deployment text not null,
  channel text not null,
  requests bigint not null,
  errors bigint not null,
  input bigint not null,
  output bigint not null,
  cache_read bigint not null,
  cache_write bigint not null,
  reasoning bigint not null,
  audio_input bigint not null,
  audio_output bigint not null,
  cost bigint not null,
  unpriced bigint not null,
  primary key (day, team_id, model, deployment, channel)
) without rowid;
create index usage_daily_teams_team on usage_daily_teams (team_id, day);

create table usage_daily_models (
  day bigint not null,
  model text not null,
  deployment text not null,
  channel text not null,
  requests bigint not null,
  errors bigint not null,
  input bigint not null,
  output bigint not null,
  cache_read bigint not null,
  cache_write bigint not null,
  reasoning bigint not null,
  audio_input bigint not null,
  audio_output bigint not null,
  cost bigint not null,
  unpriced bigint not null,
  primary key (day, model, deployment, channel)
) without rowid;
