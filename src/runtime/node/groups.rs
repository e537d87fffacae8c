//! Placement groups: created, found by name, removed.
//!
//! A group is named by its *token*, an object that is sealed when the bundles are reserved. The node holds it
//! as long as the group lives.
//!
//! Invariant: the scheduler is never called under the lock of the groups, since it tells of their changes
//! from within.

use std::collections::HashMap;

use rustyray_scheduler::{
    GroupId, GroupState, JobId, NewGroup, Placement, Refusal, Strategy, WorkerId,
};
use rustyray_store::{ClientId, ObjectId};

use super::{Node, submit::demand_of};
use crate::{
    error::{Error, Result},
    options::MAX_CUSTOM_RESOURCES,
    placement::Within,
    runtime::submission::GroupWanted,
};

/// The most bundles of one group.
const MAX_BUNDLES: usize = 10_000;

/// Groups by token, by the scheduler's id, and by name.
#[derive(Default)]
pub(super) struct Groups {
    pub(super) by_token: HashMap<ObjectId, (GroupId, Option<String>)>,
    pub(super) by_id: HashMap<GroupId, ObjectId>,
    by_name: HashMap<String, ObjectId>,
}

impl Node {
    /// Reserves a group's bundles under this token, which `client`, who asks for it, refers to.
    pub(crate) fn create_group(
        &self,
        wanted: &GroupWanted,
        token: ObjectId,
        client: ClientId,
    ) -> Result<()> {
        let most = wanted.bundles.iter().map(|bundle| bundle.custom.len()).max().unwrap_or(0);
        if wanted.bundles.len() > MAX_BUNDLES || most > MAX_CUSTOM_RESOURCES {
            return Err(Error::invalid(format!(
                "a placement group has at most {MAX_BUNDLES} bundles, and each of them at most \
                 {MAX_CUSTOM_RESOURCES} custom resources; this one has {} and up to {most}",
                wanted.bundles.len()
            )));
        }
        let bundles: Vec<_> = wanted
            .bundles
            .iter()
            .map(|bundle| demand_of(bundle.occupied, &bundle.custom))
            .collect();
        if let Some(name) = &wanted.name {
            let mut groups = self.groups.write();
            if groups.by_name.contains_key(name) {
                let what = format!("a placement group named `{name}` already exists");
                return Err(Error::invalid(what));
            }
            groups.by_name.insert(name.clone(), token);
        }
        // From here on the object is the node's, whatever becomes of the client.
        let _ = self.store.set_attempt(token, 0);
        let created = self.scheduler().create_group(NewGroup {
            bundles: &bundles,
            strategy: if wanted.spread { Strategy::Spread } else { Strategy::Pack },
            job: JobId(wanted.job),
            detached: wanted.detached,
            by: (client != ClientId::NODE).then_some(WorkerId(u16::from(client.get()))),
        });
        let group = match created {
            Ok(group) => group,
            Err(why) => {
                if let Some(name) = &wanted.name {
                    self.groups.write().by_name.remove(name);
                }
                return Err(match why {
                    Refusal::Unschedulable { demand, exists } => Error::Unschedulable {
                        task: "placement group".into(),
                        demand,
                        available: exists,
                    },
                    other => Error::invalid(format!("no such placement group can be had: {other}")),
                });
            }
        };
        let _ = self.client.retain(token);
        {
            let mut groups = self.groups.write();
            groups.by_token.insert(token, (group, wanted.name.clone()));
            groups.by_id.insert(group, token);
        }
        // What was told before it was entered.
        match self.scheduler().group_state(group) {
            Some(GroupState::Ready) => self.group_is_ready(group),
            Some(GroupState::Removed) | None => self.group_is_gone(group),
            Some(GroupState::Pending) => {}
        }
        Ok(())
    }

    /// The group could not be created: the error is left where the client looks.
    pub(crate) fn refuse_group(&self, token: ObjectId, error: &Error) {
        self.settle_failed(token, error);
    }

    pub(super) fn group_is_ready(&self, group: GroupId) {
        let token = self.groups.read().by_id.get(&group).copied();
        if let Some(token) = token {
            self.settle(token, &());
        }
    }

    pub(super) fn group_is_gone(&self, group: GroupId) {
        let mut groups = self.groups.write();
        let Some(token) = groups.by_id.remove(&group) else { return };
        if let Some((_, Some(name))) = groups.by_token.remove(&token) {
            groups.by_name.remove(&name);
        }
        drop(groups);
        self.settle_failed(
            token,
            &Error::PlacementGroupRemoved { what: format!("group {token} was waited for") },
        );
        self.client.release(token);
    }

    /// The token of the group of this name.
    pub(crate) fn group_named(&self, name: &str) -> Option<ObjectId> {
        self.groups.read().by_name.get(name).copied()
    }

    /// Removes the group of this token.
    pub(crate) fn remove_group(&self, token: ObjectId) {
        let group = self.groups.read().by_token.get(&token).map(|&(group, _)| group);
        if let Some(group) = group {
            self.scheduler().remove_group(group);
            self.group_is_gone(group);
            self.dispatch();
        }
    }

    /// Gives up the tokens of the groups that nobody has removed, as the node ends: they were in nobody's scope.
    pub(crate) fn let_go_of_groups(&self) {
        let left = std::mem::take(&mut *self.groups.write());
        left.by_token.into_keys().for_each(|token| self.client.release(token));
    }

    /// Where a task or an actor is to run.
    pub(super) fn placement(&self, within: Option<Within>) -> Result<Placement> {
        let Some(Within { group: token, bundle, capture }) = within else {
            return Ok(Placement::Inherit);
        };
        let group = self.groups.read().by_token.get(&token).map(|&(group, _)| group);
        let group = group.ok_or_else(|| Error::PlacementGroupRemoved {
            what: format!("it was to run in group {token}"),
        })?;
        let bundle = match bundle {
            -1 => None,
            bundle => Some(u16::try_from(bundle).map_err(|_| {
                Error::invalid(format!("bundle {bundle}: bundles count from 0, -1 is any"))
            })?),
        };
        Ok(Placement::Group { group, bundle, capture_children: capture })
    }
}
