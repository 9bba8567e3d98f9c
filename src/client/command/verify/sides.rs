//! The lists of all nodes, and of a folder, side by side: a page of each is in memory.

use std::{collections::VecDeque, net::SocketAddr, path::PathBuf};

use blake3::Hash;

use crate::{
    client::{
        error::Error,
        local::{self, Local},
        pages::Pages,
        requests::ListedFile,
        tree::{Found, LocalFile, Skipped},
    },
    ring::name::Name,
};

/// Files of a folder that are hashed at the same time.
const HASHED_MAX: usize = 4;

/// A node whose names are listed.
pub(super) struct ListedNode {
    pub node: SocketAddr,
    pages: Pages,
    next: Option<ListedFile>,
    has_ended: bool,
}

impl ListedNode {
    pub fn of(node: SocketAddr, pages: Pages) -> Self {
        Self { node, pages, next: None, has_ended: false }
    }

    async fn fill(&mut self) -> Result<(), Error> {
        if self.next.is_none() && !self.has_ended {
            self.next = self.pages.next().await?;
            self.has_ended = self.next.is_none();
        }
        Ok(())
    }
}

/// A folder whose files are hashed.
pub(super) struct HashedFolder {
    local: Local,
    /// What is to be told of it when it is next in turn.
    ready: VecDeque<HashedFile>,
    pub skipped: Vec<Skipped>,
}

/// A file of a folder, with its hash or why there is none.
pub(super) struct HashedFile {
    pub name: Name,
    pub hash: Result<Hash, Error>,
}

impl HashedFolder {
    pub async fn open(folder: PathBuf, prefix: String) -> Result<Self, Error> {
        let local = Local::open(folder, prefix).await?;
        Ok(Self { local, ready: VecDeque::new(), skipped: Vec::new() })
    }

    async fn fill(&mut self) {
        if !self.ready.is_empty() {
            return;
        }
        let mut files = Vec::new();
        while files.len() < HASHED_MAX {
            match self.local.next().await {
                Some(Found::File(file)) => files.push(file),
                Some(Found::Skipped(skipped)) => self.skipped.push(skipped),
                Some(Found::Leftover(_)) => {}
                None => break,
            }
        }
        let hash = |LocalFile { name, path, .. }: LocalFile| {
            let hash = smol::unblock(move || local::hash_of_any_size(&path));
            async { HashedFile { name, hash: hash.await } }
        };
        // They have begun before the first is awaited.
        let hashing: Vec<_> = files.into_iter().map(hash).collect();
        for file in hashing {
            self.ready.push_back(file.await);
        }
    }
}

/// A name that any side has, and what each of them says about it.
pub(super) struct Side {
    pub name: Name,
    /// In the order of the nodes.
    pub nodes: Vec<Option<ListedFile>>,
    pub folder: Option<HashedFile>,
}

impl Side {
    /// Whether all nodes say the same, and the folder as well, if one is compared.
    pub fn is_same(&self, has_folder: bool) -> bool {
        let mut nodes = self.nodes.iter();
        let Some(Some(first)) = nodes.next() else { return false };
        let is_same = |other: &Option<ListedFile>| other.as_ref() == Some(first);
        first.hash.is_some()
            && nodes.all(is_same)
            && match &self.folder {
                None => !has_folder,
                Some(file) => file.hash.as_ref().ok() == first.hash.as_ref(),
            }
    }
}

/// All sides.
pub(super) struct Sides {
    pub nodes: Vec<ListedNode>,
    pub folder: Option<HashedFolder>,
    /// The last name that was given.
    pub last: Option<Name>,
}

impl Sides {
    /// What all sides say about the next name. A node that does not answer is left out from then on,
    /// and is given to `lost`.
    pub async fn next(&mut self, mut lost: impl FnMut(SocketAddr, Error)) -> Option<Side> {
        let filled = all(self.nodes.iter_mut().map(ListedNode::fill)).await;
        let mut filled = filled.into_iter();
        self.nodes.retain(|listed| match filled.next() {
            Some(Err(error)) => {
                lost(listed.node, error);
                false
            }
            _ => true,
        });
        if let Some(folder) = &mut self.folder {
            folder.fill().await;
        }
        let local = self.folder.as_ref().and_then(|folder| folder.ready.front());
        let local_name = local.map(|file| file.name.clone());
        let names = self.nodes.iter().filter_map(|listed| listed.next.as_ref().map(|it| &it.name));
        let name = names.chain(&local_name).min()?.clone();
        let take = |listed: &mut ListedNode| listed.next.take_if(|file| file.name == name);
        let nodes = self.nodes.iter_mut().map(take).collect();
        let is_local = local_name.as_ref() == Some(&name);
        let folder = self.folder.as_mut().filter(|_| is_local);
        let folder = folder.and_then(|folder| folder.ready.pop_front());
        self.last = Some(name.clone());
        Some(Side { name, nodes, folder })
    }
}

/// Runs all at the same time, and returns what they return, in their order.
pub(super) async fn all<T>(tasks: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let executor = smol::LocalExecutor::new();
    let tasks: Vec<_> = tasks.map(|task| executor.spawn(task)).collect();
    executor
        .run(async {
            let mut done = Vec::with_capacity(tasks.len());
            for task in tasks {
                done.push(task.await);
            }
            done
        })
        .await
}
