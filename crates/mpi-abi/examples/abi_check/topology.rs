//! Cartesian, graph and distributed-graph topologies, and the collectives between neighbours.

use std::ffi::c_int;

use mpi_abi::{Comm, DatatypeArray, Error};

use crate::collective::{Flavour, collective};
use crate::support::{Check, Counts, Displacements, In, Mpi, Outcome, at, at_mut, same};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("topology: cartesian grid", grid),
    ("topology: dimensions", dimensions),
    ("topology: graph", graph),
    ("topology: distributed graph, adjacent", |m| adjacent(m).and_then(free)),
    ("topology: distributed graph, weighted", weighted),
    ("topology: distributed graph, from anywhere", general),
    ("neighbor: blocking", |m| exchange(m, Flavour::Blocking)),
    ("neighbor: blocking, large counts", |m| exchange(m, Flavour::BlockingLarge)),
    ("neighbor: nonblocking", |m| exchange(m, Flavour::Nonblocking)),
    ("neighbor: nonblocking, large counts", |m| exchange(m, Flavour::NonblockingLarge)),
    ("neighbor: persistent", |m| exchange(m, Flavour::Persistent)),
    ("neighbor: persistent, large counts", |m| exchange(m, Flavour::PersistentLarge)),
    ("neighbor: on a grid with borders", grid_exchange),
];

fn free(graph: Graph<'_>) -> Outcome {
    graph.on.free()?;
    Ok(())
}

fn dimensions(m: &Mpi) -> Outcome {
    let mut dims = [0, 0];
    // SAFETY: two dimensions.
    unsafe { m.lib.dims_create(12, 2, dims.as_mut_ptr()) }?;
    same!(dims, [4, 3]);
    let mut dims = [0, 2, 0];
    // SAFETY: three dimensions.
    unsafe { m.lib.dims_create(24, 3, dims.as_mut_ptr()) }?;
    same!((dims[1], dims.iter().product::<c_int>()), (2, 24));
    Ok(())
}

fn grid(m: &Mpi) -> Outcome {
    let mut dims = [0, 0];
    let periods = [1, 0];
    let mut comm = m.c.comm_null;
    let (mut kind, mut ndims, mut rank) = (-1, -1, -1);
    let (mut got_dims, mut got_periods, mut coords) = ([0; 2], [0; 2], [-1; 2]);
    // SAFETY: two dimensions everywhere; every rank makes the same calls.
    unsafe {
        m.lib.dims_create(m.size, 2, dims.as_mut_ptr())?;
        m.lib.cart_create(m.comm, 2, dims.as_ptr(), periods.as_ptr(), 0, &mut comm)?;
        m.lib.topo_test(comm, &mut kind)?;
        same!(kind, m.c.cart);
        m.lib.topo_test(m.comm, &mut kind)?;
        same!(kind, m.c.undefined);
        m.lib.cartdim_get(comm, &mut ndims)?;
        same!(ndims, 2);
        m.lib.cart_get(comm, 2, got_dims.as_mut_ptr(), got_periods.as_mut_ptr(), coords.as_mut_ptr())?;
        same!((got_dims, got_periods, coords), (dims, periods, [m.rank / dims[1], m.rank % dims[1]]));
        m.lib.cart_coords(comm, m.size - 1, 2, coords.as_mut_ptr())?;
        same!(coords, [dims[0] - 1, dims[1] - 1]);
        // Along a periodic dimension coordinates wrap.
        coords = [-1, 0];
        m.lib.cart_rank(comm, coords.as_ptr(), &mut rank)?;
        same!(rank, (dims[0] - 1) * dims[1]);
        let (mut source, mut destination) = (-9, -9);
        m.lib.cart_shift(comm, 1, 1, &mut source, &mut destination)?;
        let column = m.rank % dims[1];
        same!(source, if column == 0 { m.c.proc_null } else { m.rank - 1 });
        same!(destination, if column == dims[1] - 1 { m.c.proc_null } else { m.rank + 1 });
        let mut row = m.c.comm_null;
        m.lib.cart_sub(comm, [0, 1].as_ptr(), &mut row)?;
        let row = Mpi::of(m.lib, row)?;
        same!((row.rank, row.size), (column, dims[1]));
        row.free()?;
        m.lib.cart_map(m.comm, 2, dims.as_ptr(), periods.as_ptr(), &mut rank)?;
        same!((0..m.size).contains(&rank), true);
        m.lib.comm_free(&mut comm)?;
    }
    Ok(())
}

/// A ring as an undirected graph; for one rank, a node without edges.
fn graph(m: &Mpi) -> Outcome {
    let neighbours = |r: c_int| -> Vec<c_int> {
        match m.size {
            1 => vec![],
            2 => vec![1 - r],
            n => vec![(r + n - 1) % n, (r + 1) % n],
        }
    };
    let edges: Vec<c_int> = m.ranks().flat_map(neighbours).collect();
    let index: Vec<c_int> = m.ranks().map(|r| (0..=r).map(|s| neighbours(s).len() as c_int).sum()).collect();
    let mut comm = m.c.comm_null;
    let (mut kind, mut nodes, mut ends, mut degree) = (-1, -1, -1, -1);
    // SAFETY: the lists have the lengths that the indices say; every rank makes the same calls.
    unsafe {
        m.lib.graph_create(m.comm, m.size, index.as_ptr(), edges.as_ptr(), 0, &mut comm)?;
        m.lib.topo_test(comm, &mut kind)?;
        same!(kind, m.c.graph);
        m.lib.graphdims_get(comm, &mut nodes, &mut ends)?;
        same!((nodes, ends as usize), (m.size, edges.len()));
        let (mut got_index, mut got_edges) = (vec![-1; index.len()], vec![-1; edges.len()]);
        m.lib.graph_get(comm, m.size, ends, got_index.as_mut_ptr(), got_edges.as_mut_ptr())?;
        same!((got_index, got_edges), (index, edges));
        m.lib.graph_neighbors_count(comm, m.rank, &mut degree)?;
        let mut mine = vec![-1; degree as usize];
        m.lib.graph_neighbors(comm, m.rank, degree, mine.as_mut_ptr())?;
        same!(mine, neighbours(m.rank));
        m.lib.comm_free(&mut comm)?;
    }
    Ok(())
}

/// A distributed graph and this rank's ends of its edges.
struct Graph<'a> {
    m: &'a Mpi,
    on: Mpi,
    sources: Vec<c_int>,
    destinations: Vec<c_int>,
}

impl<'a> Graph<'a> {
    /// Every rank but the last sends to the two ranks after it among those but the last; the last has no neighbours.
    /// With one rank there is no edge; with two, rank 0 sends to itself. No edge is there twice: MPICH 3.4 exchanges
    /// the messages of two equal edges.
    fn edges(m: &Mpi) -> (Vec<c_int>, Vec<c_int>) {
        let ring = m.size - 1;
        if m.rank == ring {
            return (vec![], vec![]);
        }
        let steps = 1..=ring.min(2);
        let to = steps.clone().map(|d| (m.rank + d) % ring).collect();
        let from = steps.map(|d| (m.rank + ring - d) % ring).collect();
        (from, to)
    }

    fn new(m: &'a Mpi, comm: Comm) -> Result<Self, Error> {
        let (sources, destinations) = Self::edges(m);
        Ok(Self { m, on: Mpi::of(m.lib, comm)?, sources, destinations })
    }

    /// Asks the library for the edges, and holds them against those that were put in.
    fn check(self, expect_weights: bool) -> Result<Self, crate::support::Failure> {
        let m = self.m;
        let (mut inward, mut outward, mut is_weighted) = (-1, -1, -1);
        let mut kind = -1;
        // SAFETY: lists as long as the counts say.
        unsafe {
            m.lib.topo_test(self.on.comm, &mut kind)?;
            same!(kind, m.c.dist_graph);
            m.lib.dist_graph_neighbors_count(self.on.comm, &mut inward, &mut outward, &mut is_weighted)?;
            same!((inward as usize, outward as usize), (self.sources.len(), self.destinations.len()));
            same!(is_weighted != 0, expect_weights);
            let (mut from, mut to) = (vec![-1; inward as usize], vec![-1; outward as usize]);
            let (mut from_weights, mut to_weights) = (from.clone(), to.clone());
            m.lib.dist_graph_neighbors(
                self.on.comm,
                inward,
                from.as_mut_ptr(),
                from_weights.as_mut_ptr(),
                outward,
                to.as_mut_ptr(),
                to_weights.as_mut_ptr(),
            )?;
            let sorted = |list: &[c_int]| {
                let mut list = list.to_vec();
                list.sort_unstable();
                list
            };
            same!((sorted(&from), sorted(&to)), (sorted(&self.sources), sorted(&self.destinations)));
            if expect_weights {
                same!(to_weights, to.iter().map(|t| weight(m.rank, *t)).collect::<Vec<_>>());
                same!(from_weights, from.iter().map(|f| weight(*f, m.rank)).collect::<Vec<_>>());
            }
        }
        Ok(self)
    }
}

fn weight(from: c_int, to: c_int) -> c_int {
    from * 10 + to + 1
}

fn adjacent(m: &Mpi) -> Result<Graph<'_>, crate::support::Failure> {
    let (from, to) = Graph::edges(m);
    let mut comm = m.c.comm_null;
    let free = m.c.unweighted();
    // SAFETY: lists as long as the degrees say; every rank is here.
    unsafe {
        m.lib.dist_graph_create_adjacent(
            m.comm,
            from.len() as c_int,
            from.as_ptr(),
            free,
            to.len() as c_int,
            to.as_ptr(),
            free,
            m.c.info_null,
            0,
            &mut comm,
        )
    }?;
    Graph::new(m, comm)?.check(false)
}

fn weighted(m: &Mpi) -> Outcome {
    let (from, to) = Graph::edges(m);
    let from_weights: Vec<c_int> = from.iter().map(|f| weight(*f, m.rank)).collect();
    let to_weights: Vec<c_int> = to.iter().map(|t| weight(m.rank, *t)).collect();
    // A rank without neighbours says so by a sentinel: an empty list might be a null pointer.
    let or_empty = |list: &[c_int]| if list.is_empty() { m.c.weights_empty().cast_const() } else { list.as_ptr() };
    let mut comm = m.c.comm_null;
    // SAFETY: lists as long as the degrees say; every rank is here.
    unsafe {
        m.lib.dist_graph_create_adjacent(
            m.comm,
            from.len() as c_int,
            from.as_ptr(),
            or_empty(&from_weights),
            to.len() as c_int,
            to.as_ptr(),
            or_empty(&to_weights),
            m.c.info_null,
            0,
            &mut comm,
        )
    }?;
    Graph::new(m, comm)?.check(true).and_then(free)
}

fn general(m: &Mpi) -> Outcome {
    let (_, to) = Graph::edges(m);
    let nodes = [m.rank];
    let degrees = [to.len() as c_int];
    let mut comm = m.c.comm_null;
    // SAFETY: one node with as many destinations as its degree says; every rank is here.
    unsafe {
        m.lib.dist_graph_create(
            m.comm,
            1,
            nodes.as_ptr(),
            degrees.as_ptr(),
            to.as_ptr(),
            m.c.unweighted(),
            m.c.info_null,
            0,
            &mut comm,
        )
    }?;
    Graph::new(m, comm)?.check(false).and_then(free)
}

/// What `from` sends to its `slot`-th destination, element `i`.
fn cell(from: c_int, slot: usize, i: c_int) -> i32 {
    from * 1000 + slot as i32 * 100 + i
}

/// In `Graph::edges` the j-th source of a rank has it as its j-th destination.
fn exchange(m: &Mpi, flavour: Flavour) -> Outcome {
    let graph = adjacent(m)?;
    let outcome = exchange_on(m, &graph, flavour);
    free(graph)?;
    outcome
}

fn exchange_on(m: &Mpi, graph: &Graph<'_>, flavour: Flavour) -> Outcome {
    let (comm, int) = (graph.on.comm, m.c.int32_t);
    let (sources, destinations) = (&graph.sources, &graph.destinations);
    let (inward, outward) = (sources.len(), destinations.len());
    let arrived = |slot: usize, count: c_int| (0..count).map(move |i| cell(sources[slot], slot, i));
    // SAFETY: in each call the buffers hold what counts and displacements say.
    unsafe {
        // Each rank's own two values to all its destinations.
        let mine = [cell(m.rank, 0, 0), cell(m.rank, 0, 1)];
        let mut got = vec![-1; 2 * inward];
        let to = at_mut(&mut got);
        collective!(m, flavour, neighbor_allgather neighbor_allgather_c ineighbor_allgather ineighbor_allgather_c
            neighbor_allgather_init neighbor_allgather_init_c (at(&mine), 2, int, to, 2, int, comm))?;
        same!(got, sources.iter().flat_map(|&s| [cell(s, 0, 0), cell(s, 0, 1)]).collect::<Vec<_>>());

        // A rank contributes one or two values, by its number.
        let length = |r: c_int| 1 + r % 2;
        let counts = Counts::new(sources.iter().map(|&s| length(s)));
        let places = counts.displacements(1);
        let mut got = vec![-1; counts.total()];
        let to = at_mut(&mut got);
        collective!(m, flavour, neighbor_allgatherv neighbor_allgatherv_c ineighbor_allgatherv
            ineighbor_allgatherv_c neighbor_allgatherv_init neighbor_allgatherv_init_c
            (at(&mine), length(m.rank) as _, int, to, counts.p(), places.p(), int, comm))?;
        let expected = sources.iter().flat_map(|&s| (0..length(s)).map(move |i| cell(s, 0, i)));
        same!(got, expected.collect::<Vec<_>>());

        let mine: Vec<i32> = (0..outward).flat_map(|d| [cell(m.rank, d, 0), cell(m.rank, d, 1)]).collect();
        let mut got = vec![-1; 2 * inward];
        let to = at_mut(&mut got);
        collective!(m, flavour, neighbor_alltoall neighbor_alltoall_c ineighbor_alltoall ineighbor_alltoall_c
            neighbor_alltoall_init neighbor_alltoall_init_c (at(&mine), 2, int, to, 2, int, comm))?;
        same!(got, (0..inward).flat_map(|s| arrived(s, 2)).collect::<Vec<_>>());

        // Nothing to the first destination, two values to the second.
        let load = |slot: usize| 2 * slot as c_int;
        let sent = Counts::new((0..outward).map(load));
        let received = Counts::new((0..inward).map(load));
        let mine: Vec<i32> = (0..outward).flat_map(|d| (0..load(d)).map(move |i| cell(m.rank, d, i))).collect();
        let expected: Vec<i32> = (0..inward).flat_map(|s| arrived(s, load(s))).collect();
        let (from, into) = (sent.displacements(1), received.displacements(1));
        let mut got = vec![-1; received.total()];
        let to = at_mut(&mut got);
        collective!(m, flavour, neighbor_alltoallv neighbor_alltoallv_c ineighbor_alltoallv ineighbor_alltoallv_c
            neighbor_alltoallv_init neighbor_alltoallv_init_c
            (at(&mine), sent.p(), from.p(), int, to, received.p(), into.p(), int, comm))?;
        same!(got, expected);

        let send_types = DatatypeArray::from_slice(m.lib, &vec![int; outward]);
        let receive_types = DatatypeArray::from_slice(m.lib, &vec![int; inward]);
        let mut got = vec![-1; received.total()];
        let to = at_mut(&mut got);
        wide(m, flavour, comm, (at(&mine), &sent, &send_types), (to, &received, &receive_types))?;
        same!(got, expected);
    }
    Ok(())
}

/// `neighbor_alltoallw`: its displacements are `MPI_Aint` in all forms, and in bytes.
///
/// # Safety
/// The buffers hold blocks of ints, one after the other, as long as the counts say.
unsafe fn wide(
    m: &Mpi,
    flavour: Flavour,
    comm: Comm,
    (mine, sent, send_types): (*const std::ffi::c_void, &Counts, &DatatypeArray),
    (to, received, receive_types): (*mut std::ffi::c_void, &Counts, &DatatypeArray),
) -> Result<(), Error> {
    let (from, into): (Displacements, Displacements) = (sent.displacements(4), received.displacements(4));
    let (st, rt) = (send_types.as_ptr(), receive_types.as_ptr());
    // SAFETY: the caller's promise.
    unsafe {
        collective!(m, flavour, neighbor_alltoallw neighbor_alltoallw_c ineighbor_alltoallw ineighbor_alltoallw_c
            neighbor_alltoallw_init neighbor_alltoallw_init_c
            (mine, sent.p(), from.p(), st, to, received.p(), into.p(), rt, comm))
    }
}

/// On a line without periods the ends have a neighbour that is nobody; their places stay as they are.
fn grid_exchange(m: &Mpi) -> Outcome {
    let mut comm = m.c.comm_null;
    let mine = [m.rank * 10, m.rank * 10 + 1];
    let mut got = [-1; 2];
    // SAFETY: one dimension; two neighbours, one int for each.
    unsafe {
        m.lib.cart_create(m.comm, 1, [m.size].as_ptr(), [0].as_ptr(), 0, &mut comm)?;
        m.lib.neighbor_alltoall(at(&mine), 1, m.c.int32_t, at_mut(&mut got), 1, m.c.int32_t, comm)?;
        m.lib.comm_free(&mut comm)?;
    }
    let left = if m.rank == 0 { -1 } else { (m.rank - 1) * 10 + 1 };
    let right = if m.rank == m.size - 1 { -1 } else { (m.rank + 1) * 10 };
    same!(got, [left, right]);
    Ok(())
}
