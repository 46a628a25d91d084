//! What the ranks of one communicator share, and the making of communicators.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::meeting::Meeting;
use super::operation::Operation;
use super::signals::Handover;
use super::transport::Local;
use super::wait::{Wait, Waiting};
use super::window::Part;
use super::world::World;
use crate::backend::prepared::Private;
use crate::backend::{Collective, CollectiveKind, Counts, Transport};
use crate::element::ElementType;
use crate::error::Result;

pub(super) struct Group {
    /// Tells its messages apart from those of other communicators.
    pub(super) context: u32,
    pub(super) name: String,
    /// The world ranks of the members.
    pub(super) ranks: Vec<usize>,
    /// Where the blocking collectives meet.
    pub(super) meeting: Meeting,
    /// Non-blocking collectives that not every member has started, by their number.
    pub(super) open: Mutex<HashMap<u64, Arc<Operation>>>,
    /// How many non-blocking collectives each member has started.
    pub(super) started: Vec<AtomicU64>,
    /// Signal words on their way between members.
    pub(super) handover: Handover,
    /// Parts of windows that are being made, by the window's tag and their rank.
    pub(super) parts: Mutex<HashMap<(u32, usize), Arc<Part>>>,
    nursery: Mutex<Nursery>,
    /// What the message sets of each member share.
    pub(super) private: Vec<Private>,
}

/// Communicators that some members have and others still come for.
#[derive(Default)]
struct Nursery {
    split: HashMap<(u64, u32), (Arc<Group>, usize)>,
    /// By name, those to which not all have come, the oldest first.
    named: HashMap<String, Vec<Arc<Mutex<Gathering>>>>,
}

/// The members of a named group, as they come.
struct Gathering {
    ranks: Vec<usize>,
    group: Arc<Group>,
    come: Vec<usize>,
    fault: Option<String>,
}

fn lock(gathering: &Mutex<Gathering>) -> MutexGuard<'_, Gathering> {
    gathering.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One member's place in a gathering.
pub(super) struct Joined {
    gathering: Arc<Mutex<Gathering>>,
    rank: usize,
    /// What was wrong with this member's list.
    fault: Option<String>,
}

impl Group {
    pub(super) fn new(world: &World, name: &str, ranks: Vec<usize>) -> Arc<Self> {
        Arc::new(Group {
            context: world.new_context(),
            name: name.to_owned(),
            meeting: Meeting::new(ranks.len()),
            open: Mutex::default(),
            started: ranks.iter().map(|_| AtomicU64::new(0)).collect(),
            handover: Handover::default(),
            parts: Mutex::default(),
            nursery: Mutex::default(),
            private: ranks.iter().map(|_| Private::default()).collect(),
            ranks,
        })
    }

    /// See [`Transport::split`].
    pub(super) fn split(
        &self,
        local: &Local,
        color: Option<u32>,
        key: i64,
        name: &str,
    ) -> Result<Option<Box<dyn Transport>>> {
        let mine = [color.map_or(-1, i64::from), key];
        let mut all = vec![[0i64; 2]; self.ranks.len()];
        let call = Collective {
            kind: CollectiveKind::AllGather,
            element: ElementType::of::<i64>(),
            root: 0,
            varying: false,
            send: mine.as_ptr().cast(),
            send_counts: Counts::Same(2),
            recv: all.as_mut_ptr().cast(),
            recv_counts: Counts::Same(2),
            kernel: None,
            refused: false,
        };
        // SAFETY: both parts are locals of this call, with the lengths it says.
        let number = unsafe { self.numbered_collective(local, &call)? };
        let Some(color) = color else { return Ok(None) };
        let mut members: Vec<usize> = (0..all.len()).filter(|&r| all[r][0] == i64::from(color)).collect();
        members.sort_by_key(|&r| (all[r][1], r));
        let rank = members.iter().position(|&r| r == local.rank).expect("this rank has this colour");
        let mut nursery = self.nursery.lock().unwrap_or_else(PoisonError::into_inner);
        let (group, left) = nursery.split.entry((number, color)).or_insert_with(|| {
            let ranks = members.iter().map(|&r| self.ranks[r]).collect();
            (Group::new(&local.world, name, ranks), members.len())
        });
        let group = group.clone();
        *left -= 1;
        if *left == 0 {
            nursery.split.remove(&(number, color));
        }
        Ok(Some(Box::new(Local { world: local.world.clone(), group, rank, me: local.me })))
    }

    /// Takes this rank's place in the named group of `ranks`: in the first gathering of that name and list to which it has not
    /// come, else in one where a rank has come that means the same group by another list, else in a new one.
    pub(super) fn join(&self, local: &Local, name: &str, ranks: &[usize]) -> Joined {
        let mut nursery = self.nursery.lock().unwrap_or_else(PoisonError::into_inner);
        let open = nursery.named.entry(name.to_owned()).or_default();
        let find = |fits: &dyn Fn(&Gathering) -> bool| {
            open.iter().position(|gathering| {
                let g = lock(gathering);
                !g.come.contains(&local.rank) && fits(&g)
            })
        };
        let met = |g: &Gathering| g.ranks.contains(&local.rank) && g.come.iter().any(|r| ranks.contains(r));
        let at = find(&|g| g.ranks == ranks).or_else(|| find(&met)).unwrap_or_else(|| {
            let members = ranks.iter().map(|&r| self.ranks[r]).collect();
            let group = Group::new(&local.world, name, members);
            open.push(Arc::new(Mutex::new(Gathering { ranks: ranks.to_vec(), group, come: Vec::new(), fault: None })));
            open.len() - 1
        });
        let gathering = open[at].clone();
        let mut g = lock(&gathering);
        let fault = (g.ranks != ranks).then(|| {
            format!(
                "rank {} makes group {name:?} of ranks {ranks:?}, rank {} of ranks {:?}",
                local.rank, g.come[0], g.ranks
            )
        });
        g.come.push(local.rank);
        g.fault = g.fault.take().or_else(|| fault.clone());
        if g.come.len() == g.ranks.len() {
            open.remove(at);
            if open.is_empty() {
                nursery.named.remove(name);
            }
        }
        local.world.notify_each(g.ranks.iter().map(|&r| self.ranks[r]));
        drop(g);
        Joined { gathering, rank: local.rank, fault }
    }

    /// Gives the place up, unless all have come.
    pub(super) fn leave(&self, joined: &Joined) {
        let mut g = lock(&joined.gathering);
        if g.come.len() < g.ranks.len() {
            let text = format!("rank {} gave up waiting for group {:?}", joined.rank, g.group.name);
            g.fault.get_or_insert(text);
        }
    }
}

impl Joined {
    /// The communicator once all have come, or what went wrong.
    pub(super) fn poll(&self, local: &Local) -> Option<Result<Box<dyn Transport>, String>> {
        let g = lock(&self.gathering);
        if let Some(fault) = self.fault.as_ref().or(g.fault.as_ref()) {
            return Some(Err(fault.clone()));
        }
        if g.come.len() < g.ranks.len() {
            return None;
        }
        let rank = g.ranks.iter().position(|&r| r == self.rank).expect("the list has this rank");
        let group = g.group.clone();
        Some(Ok(Box::new(Local { world: local.world.clone(), group, rank, me: local.me })))
    }

    /// Members that have not come.
    pub(super) fn missing(&self) -> impl Iterator<Item = usize> {
        let g = lock(&self.gathering);
        g.ranks.iter().copied().filter(|r| !g.come.contains(r)).collect::<Vec<_>>().into_iter()
    }
}

impl Group {
    /// Counts a non-blocking collective of a member; its number.
    pub(super) fn next_started(&self, rank: usize) -> u64 {
        self.started[rank].fetch_add(1, Ordering::Relaxed)
    }
}

/// Waits until all members of a named group have come.
pub(super) struct GroupWait<'a> {
    pub(super) local: &'a Local,
    pub(super) joined: &'a Joined,
    pub(super) name: &'a str,
}

impl Wait for GroupWait<'_> {
    type Output = Result<Box<dyn Transport>, String>;

    fn poll(&mut self) -> Option<Self::Output> {
        self.joined.poll(self.local)
    }

    fn progress(&mut self) {
        self.local.progress();
    }

    fn lost(&self) -> Option<(usize, &'static str)> {
        let group = &self.local.group;
        self.joined.missing().find_map(|r| self.local.world.fate(group.ranks[r]).map(|how| (r, how)))
    }

    fn describe(&self) -> Waiting {
        self.local.describe("group", format!("for the members of \"{}\"", self.name))
    }
}
