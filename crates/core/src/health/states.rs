//! Living state by id, so that it survives every reload: a snapshot borrows it, and what nobody has and nobody used of late is
//! forgotten. One lock, taken while compiling and for models nobody listed, never for a listed one. Tests are below.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{CredentialState, DeploymentState, Lane, Pulse};
use crate::ids::{ChannelId, CredentialId, DeploymentId};
use crate::limit::{Gate, LevelGate, LevelKind};
use crate::moment::Moment;

/// The living state of a process. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct States(Arc<Mutex<Registry>>);

#[derive(Debug, Default)]
struct Registry {
    deployments: HashMap<DeploymentId, Arc<DeploymentState>>,
    lanes: HashMap<(DeploymentId, CredentialId), Arc<Lane>>,
    /// With the fingerprint of the secret the state is of.
    credentials: HashMap<CredentialId, (u64, Arc<CredentialState>)>,
    gates: HashMap<ChannelId, Arc<Gate>>,
    levels: HashMap<(LevelKind, Box<str>), Arc<LevelGate>>,
    turns: HashMap<Turn, Arc<AtomicU64>>,
    pulses: HashMap<Box<str>, Arc<Pulse>>,
}

/// Whose turn is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Turn {
    /// The deployments of a model in a tier.
    Tier(Box<str>, u8),
    /// The credentials of a channel.
    Keys(ChannelId),
}

impl States {
    pub fn deployment(&self, id: DeploymentId) -> Arc<DeploymentState> {
        found(&mut self.lock().deployments, id)
    }

    pub fn lane(&self, deployment: DeploymentId, credential: CredentialId) -> Arc<Lane> {
        found(&mut self.lock().lanes, (deployment, credential))
    }

    /// The state of a credential, new if its secret is not the one it was.
    pub fn credential(&self, id: CredentialId, fingerprint: u64) -> Arc<CredentialState> {
        let mut registry = self.lock();
        let (known, state) = registry.credentials.entry(id).or_insert_with(|| (fingerprint, Arc::default()));
        if *known != fingerprint {
            (*known, *state) = (fingerprint, Arc::default());
        }
        Arc::clone(state)
    }

    pub(crate) fn gate(&self, channel: ChannelId) -> Arc<Gate> {
        found(&mut self.lock().gates, channel)
    }

    /// What was taken of the limits of a key, user, team or plan. `id` is its id in the database, or its name in the file.
    pub fn level(&self, kind: LevelKind, id: &str) -> Arc<LevelGate> {
        found(&mut self.lock().levels, (kind, id.into()))
    }

    pub(crate) fn turn(&self, turn: Turn) -> Arc<AtomicU64> {
        found(&mut self.lock().turns, turn)
    }

    pub(crate) fn pulse(&self, model: &str) -> Arc<Pulse> {
        found(&mut self.lock().pulses, model.into())
    }

    /// Forgets what nothing refers to and nothing has used within the last hour or two. To be called some time after a
    /// snapshot was replaced.
    pub fn sweep(&self, now: Moment) {
        let registry = &mut *self.lock();
        registry.deployments.retain(|_, state| Arc::strong_count(state) > 1 || state.recent(now) > 0);
        let deployments = &registry.deployments;
        registry.lanes.retain(|(id, _), lane| Arc::strong_count(lane) > 1 || deployments.contains_key(id));
        registry.credentials.retain(|_, (_, state)| Arc::strong_count(state) > 1);
        registry.gates.retain(|_, state| Arc::strong_count(state) > 1);
        registry.levels.retain(|_, gate| Arc::strong_count(gate) > 1 || gate.is_used(now));
        registry.turns.retain(|_, state| Arc::strong_count(state) > 1);
        registry.pulses.retain(|_, state| Arc::strong_count(state) > 1);
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn found<K: Eq + Hash, V: Default>(map: &mut HashMap<K, Arc<V>>, key: K) -> Arc<V> {
    Arc::clone(map.entry(key).or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_is_found_again_by_id_and_forgotten_when_nobody_has_it() {
        let states = States::default();
        let id = DeploymentId::of("a", "m");
        let state = states.deployment(id);
        let now = Moment::seconds(1);
        state.note(crate::verdict::Class::Network, now);
        states.sweep(now);
        assert!(Arc::ptr_eq(&state, &states.deployment(id)));
        state.enter(now);
        drop(state);
        states.sweep(now);
        assert!(states.deployment(id).last_error().is_some(), "it was used a moment ago");
        states.sweep(Moment::seconds(3 * 3600));
        assert!(states.deployment(id).last_error().is_none());
    }

    #[test]
    fn a_new_secret_under_an_old_name_starts_anew() {
        let states = States::default();
        let id = CredentialId::of("a", "key");
        let first = states.credential(id, 1);
        assert!(Arc::ptr_eq(&first, &states.credential(id, 1)));
        assert!(!Arc::ptr_eq(&first, &states.credential(id, 2)));
    }
}
