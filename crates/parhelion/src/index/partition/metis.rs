//! Partitions by METIS (Karypis, Kumar: A fast and high quality multilevel scheme for partitioning irregular graphs, SIAM
//! Journal on Scientific Computing 20, 1998), built from the source that its crate brings.

use std::sync::{Mutex, PoisonError};

use metis::Idx;
use metis::option::NCuts;
use parhelion_comm::{Error, ErrorKind, Result};

use super::{Graph, Partition, invalid};

/// METIS draws from the random numbers of the process, which ranks that are threads share.
static TURN: Mutex<()> = Mutex::new(());

/// Of how many attempts the best is taken.
const ATTEMPTS: Idx = 4;

/// Up to this many parts, halving again and again gives better cuts than all parts at once (METIS manual, section 4.1).
const MOST_BY_HALVES: usize = 8;

impl Partition {
    /// Parts of about equal numbers of vertices, or sums of vertex weights, with as few edges between them as METIS finds, or as
    /// small a sum of edge weights: within 3 % of equal, as a rule. Local, and only with the cargo feature `metis`.
    ///
    /// It starts from the same random numbers each time, but these are the C library's: if another thread draws some at
    /// the same time, ranks may see different partitions. [`Partition::broadcast`] gives all ranks that of one.
    ///
    /// # Errors
    /// Vertices but no parts; a graph, or a sum of weights, too large for the 31 bits that METIS counts with; what METIS
    /// reports.
    pub fn by_graph(parts: usize, graph: &Graph) -> Result<Partition> {
        if graph.is_empty() || parts <= 1 || parts >= graph.len() {
            if parts == 0 && !graph.is_empty() {
                return Err(invalid(format!("{} vertices in no parts", graph.len())));
            }
            // One part, or a part for each: nothing to choose.
            let part = |vertex| if parts <= 1 { 0 } else { vertex };
            return Partition::new(parts, (0..graph.len()).map(part).collect());
        }
        let starts = std::iter::once(0).chain((0..graph.len()).scan(0, |end, vertex| {
            *end += graph.neighbours(vertex).len() as u64;
            Some(*end)
        }));
        let starts = narrow("edges", starts)?;
        let vertices = || 0..graph.len();
        let neighbours = narrow("edges", vertices().flat_map(|v| graph.neighbours(v)).map(|&other| other as u64))?;
        let edge_weights = match graph.edge_weights(0) {
            Some(_) => Some(weights("edges", 1, vertices().filter_map(|v| graph.edge_weights(v)).flatten().copied())?),
            None => None,
        };
        let constraints = graph.constraints().max(1);
        let vertex_weights = match graph.constraints() {
            0 => None,
            n => Some(weights("vertices", n, vertices().flat_map(|v| graph.vertex_weights(v)).copied())?),
        };

        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |n: usize| Idx::try_from(n).map_err(|_| invalid(format!("{n} parts or constraints are too many")));
        let job = metis::Graph::new(count(constraints)?, count(parts)?, &starts, &neighbours);
        let mut job = job.map_err(|error| failed(&error))?.set_option(NCuts(ATTEMPTS));
        if let Some(weights) = &edge_weights {
            job = job.set_adjwgt(weights);
        }
        if let Some(weights) = &vertex_weights {
            job = job.set_vwgt(weights);
        }
        let mut owners: Vec<Idx> = vec![0; graph.len()];
        let done = if parts <= MOST_BY_HALVES { job.part_recursive(&mut owners) } else { job.part_kway(&mut owners) };
        drop(turn);
        done.map_err(|error| failed(&error))?;
        Partition::new(parts, owners.into_iter().map(|part| part as usize).collect())
    }
}

fn failed(error: &dyn std::fmt::Display) -> Error {
    Error::new("partition", ErrorKind::InvalidArgument(format!("METIS: {error}")))
}

fn narrow(what: &str, numbers: impl Iterator<Item = u64>) -> Result<Vec<Idx>> {
    let narrow: std::result::Result<_, _> = numbers.map(Idx::try_from).collect();
    narrow.map_err(|_| invalid(format!("METIS counts {what} with {} bits; these are too many", Idx::BITS - 1)))
}

/// Weights whose sums METIS can count, `each` of them for one of `what`.
fn weights(what: &str, each: usize, all: impl Iterator<Item = u64>) -> Result<Vec<Idx>> {
    let mut sums = vec![0u64; each];
    let counted = all.enumerate().map(|(i, weight)| {
        sums[i % each] = sums[i % each].saturating_add(weight);
        // A sum that is too large ends the list with a number that is too large.
        if sums[i % each] > Idx::MAX as u64 { u64::MAX } else { weight }
    });
    narrow(&format!("the weights of {what}"), counted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An nx × ny mesh.
    fn mesh(nx: u64, ny: u64) -> Graph {
        let right = (0..nx * ny).filter(|i| i % ny + 1 < ny).map(|i| (i, i + 1));
        Graph::from_edges((nx * ny) as usize, right.chain((0..(nx - 1) * ny).map(|i| (i, i + ny)))).unwrap()
    }

    #[test]
    fn a_mesh_is_cut_about_as_short_as_it_can_be() {
        let graph = mesh(32, 32);
        for (parts, most) in [(1, 0), (2, 36), (4, 80), (7, 150), (16, 240)] {
            let partition = Partition::by_graph(parts, &graph).unwrap();
            let cut = partition.edge_cut(&graph);
            assert!(cut <= most, "{parts} parts cut {cut} edges");
            assert!(partition.imbalance() <= 1.06, "{partition}");
            assert_eq!(partition, Partition::by_graph(parts, &graph).unwrap(), "another partition of the same graph");
        }
    }

    #[test]
    fn weights_are_heeded() {
        // A path of 1 - 2 - 3 - 4 whose middle edge is dear, and whose ends are heavy or light.
        let cut = |text| {
            let graph = Graph::from_metis(text).unwrap();
            Partition::by_graph(2, &graph).unwrap()
        };
        let heavy = cut("6 5 010\n50 2\n10 1 3\n10 2 4\n10 3 5\n10 4 6\n10 5\n");
        assert_eq!(heavy.sizes().into_iter().min(), Some(1), "{heavy:?}");
        let text: String = (1..=40).fold("40 39 001\n".to_owned(), |text, i| {
            // The edge between 20 and 21 is dear, its neighbours are cheap.
            let weight = |low: i32| if low == 20 { 1000 } else { 10 };
            let before = if i > 1 { format!("{} {} ", i - 1, weight(i - 1)) } else { String::new() };
            let after = if i < 40 { format!("{} {}", i + 1, weight(i)) } else { String::new() };
            text + &before + &after + "\n"
        });
        let dear = cut(&text);
        assert_eq!(dear.as_slice()[19], dear.as_slice()[20], "{dear:?}");
    }

    #[test]
    fn small_and_odd_graphs_have_partitions() {
        for (vertices, parts) in [(0, 0), (0, 3), (1, 1), (3, 7), (5, 5), (5, 4), (9, 8), (12, 11), (40, 20)] {
            for graph in
                [Graph::from_edges(vertices, []).unwrap(), Graph::from_edges(vertices, ring(vertices)).unwrap()]
            {
                let partition = Partition::by_graph(parts, &graph).unwrap();
                assert_eq!((partition.len(), partition.parts()), (vertices, parts));
            }
        }
        assert!(Partition::by_graph(0, &mesh(2, 2)).is_err());
    }

    fn ring(vertices: usize) -> impl Iterator<Item = (u64, u64)> {
        (0..vertices as u64).map(move |i| (i, (i + 1) % vertices as u64))
    }

    #[test]
    fn weights_that_cannot_be_summed_are_refused() {
        let graph = Graph::from_metis("4 3 010\n2000000000 2\n2000000000 1 3\n1 2 4\n1 3\n").unwrap();
        let error = Partition::by_graph(2, &graph).unwrap_err().to_string();
        assert!(error.contains("weights of vertices"), "{error}");
    }

    #[test]
    fn threads_see_the_same_partition() {
        let graph = mesh(20, 20);
        let first = Partition::by_graph(4, &graph).unwrap();
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..4).map(|_| scope.spawn(|| Partition::by_graph(4, &graph).unwrap())).collect();
            all.into_iter().for_each(|one| assert_eq!(one.join().unwrap(), first));
        });
    }
}
