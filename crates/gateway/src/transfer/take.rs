//! Carries a plan out: one transaction, whole or not at all, and nothing a second time. Decides what counts as created, changed and
//! unchanged. Tests: `it/transfer.rs`.

use serde::Serialize;
use waypost_store::catalog::{Changes, CredentialDraft, Put};
use waypost_store::{StoreError, VaultError};

use super::{ChannelPlan, CredentialPlan, Plan, Skipped, check};

/// What became of the rows of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub read: usize,
    pub created: usize,
    pub changed: usize,
    pub unchanged: usize,
    pub skipped: usize,
}

/// What became of a plan.
#[derive(Debug, Default)]
pub struct Taken {
    pub providers: Counts,
    pub channels: Counts,
    pub credentials: Counts,
    pub groups: Counts,
    pub settings: Counts,
    pub skipped: Vec<Skipped>,
}

impl Counts {
    fn add(&mut self, put: &Put) {
        self.read += 1;
        match put {
            Put::Created { .. } => self.created += 1,
            Put::Changed { .. } => self.changed += 1,
            Put::Same { .. } => self.unchanged += 1,
        }
    }

    fn skip(&mut self) {
        self.read += 1;
        self.skipped += 1;
    }
}

/// Writes everything but keys; the caller commits, or drops it for a dry run.
pub async fn take(plan: &Plan, changes: &mut Changes<'_>) -> Result<Taken, VaultError> {
    let mut taken = Taken { skipped: plan.skipped.clone(), ..Taken::default() };
    for provider in &plan.providers {
        taken.providers.add(&changes.put_provider(provider).await?);
    }
    for channel in &plan.channels {
        taken.channel(plan, channel, changes).await?;
    }
    for group in &plan.groups {
        taken.groups.add(&changes.put_group(group).await?);
    }
    for (path, value) in &plan.settings {
        taken.settings.add(&changes.put_setting(path, value).await?);
    }
    Ok(taken)
}

impl Taken {
    async fn channel(
        &mut self,
        plan: &Plan,
        channel: &ChannelPlan,
        changes: &mut Changes<'_>,
    ) -> Result<(), VaultError> {
        let name = &channel.draft.name;
        if let Err(errors) = check(&channel.draft, &channel.credentials, &plan.providers) {
            self.channels.skip();
            let reasons = errors.iter().map(|error| match error.path.as_str() {
                "" => error.reason.clone(),
                path => format!("{path}: {}", error.reason),
            });
            let reason = reasons.collect::<Vec<_>>().join("; ");
            self.skipped.push(Skipped { what: format!("channel {name}"), reason });
            return Ok(());
        }
        let put = changes.put_channel(&channel.draft).await?;
        self.channels.add(&put);
        for credential in &channel.credentials {
            self.credential(name, put.id(), credential, changes).await?;
        }
        Ok(())
    }

    async fn credential(
        &mut self,
        channel: &str,
        id: &str,
        plan: &CredentialPlan,
        changes: &mut Changes<'_>,
    ) -> Result<(), VaultError> {
        let draft = CredentialDraft {
            channel: id.to_owned(),
            name: plan.name.clone(),
            key: plan.key.clone(),
            enabled: plan.enabled,
            limits: plan.limits.clone(),
        };
        match changes.put_credential(&draft).await {
            Ok(put) => self.credentials.add(&put),
            Err(VaultError::Store(StoreError::Refused(_))) => {
                self.credentials.skip();
                let what = format!("credential {} of channel {channel}", plan.name);
                let reason = "the file holds no secret for it; enter the key by hand".to_owned();
                self.skipped.push(Skipped { what, reason });
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// How many rows were created or changed.
    pub fn changes(&self) -> usize {
        let all = [self.providers, self.channels, self.credentials, self.groups, self.settings];
        all.iter().map(|counts| counts.created + counts.changed).sum()
    }
}
