//! What the clients of a benchmark ask for, made before the clock starts.

use fastrand::Rng;

use super::plan::{Mode, Plan};
use crate::ring::{codec::Encode, message::Request, name::Name, wire::request::push_put};

/// Neighbouring names have contents that begin this far from each other.
const STRIDE_BYTES: usize = 8;
/// One request in this many is a PUT when the mode is mixed.
const MIXED_PUT_ONE_IN: u64 = 10;

/// Names, requests and contents. It is shared by all clients and never changes.
pub(super) struct Workload {
    pub names: Vec<Name>,
    pub size_bytes: usize,
    pub pipeline: usize,
    mode: Mode,
    gets: Vec<Vec<u8>>,
    puts: Vec<Vec<u8>>,
    /// One long run of random bytes. The content of a name is a window of it that begins where no
    /// other name's does, so a million files need little more memory than one.
    pool: Vec<u8>,
}

/// One request that was sent.
#[derive(Clone, Copy)]
pub(super) struct SentRequest {
    /// Which name it was for.
    pub index: usize,
    /// Whether it was a PUT.
    pub put: bool,
}

impl Workload {
    pub fn new(plan: &Plan) -> Self {
        let size = plan.size_bytes;
        // The size is part of the name, so that benchmarks of several sizes at one ring do not
        // overwrite each other's files.
        let name = |index| Name::new(&format!("bench/{size}/{index:06}"));
        let names: Vec<Name> =
            (0..plan.names).map(|index| name(index).expect("a valid name")).collect();
        let mut random = Rng::with_seed(0);
        let words = (size + names.len() * STRIDE_BYTES).div_ceil(8);
        Self {
            gets: lines(&names, |out, name| {
                Request::Get { name, version: None }.encode(out);
            }),
            puts: lines(&names, |out, name| push_put(out, &name, size, None)),
            pool: (0..words).flat_map(|_| random.u64(..).to_le_bytes()).collect(),
            names,
            size_bytes: size,
            pipeline: plan.pipeline,
            mode: plan.mode,
        }
    }

    /// The content that belongs to a name.
    pub fn content(&self, index: usize) -> &[u8] {
        &self.pool[index * STRIDE_BYTES..][..self.size_bytes]
    }

    /// Appends the next request of a client to what it will write.
    pub fn ask(&self, random: &mut Rng, out: &mut Vec<u8>) -> SentRequest {
        let index = random.usize(..self.names.len());
        let put = match self.mode {
            Mode::Get => false,
            Mode::Put => true,
            Mode::Mixed => random.u64(..MIXED_PUT_ONE_IN) == 0,
        };
        if put {
            out.extend_from_slice(&self.puts[index]);
            out.extend_from_slice(self.content(index));
        } else {
            out.extend_from_slice(&self.gets[index]);
        }
        SentRequest { index, put }
    }
}

/// A request for each name.
fn lines(names: &[Name], push: impl Fn(&mut Vec<u8>, Name)) -> Vec<Vec<u8>> {
    let line = |name: &Name| {
        let mut line = Vec::new();
        push(&mut line, name.clone());
        line
    };
    names.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use super::*;

    #[test]
    fn every_name_has_a_content_of_its_own() {
        let plan = Plan {
            clients: 1,
            pipeline: 1,
            size_bytes: 13,
            period: Duration::from_secs(1),
            mode: Mode::Mixed,
            names: 500,
        };
        let work = Workload::new(&plan);
        let contents: BTreeSet<&[u8]> = (0..500).map(|index| work.content(index)).collect();
        assert_eq!(contents.len(), 500);
        assert!(contents.iter().all(|content| content.len() == 13));
        let (mut random, mut out) = (Rng::with_seed(1), Vec::new());
        let puts = (0..1000).filter(|_| work.ask(&mut random, &mut out).put).count();
        assert!((50..200).contains(&puts), "{puts}");
    }
}
