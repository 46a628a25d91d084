//! Cartesian, graph and distributed-graph topologies.

use std::ffi::c_int;

use super::{Comm, Info, functions};

functions! {
    group topology, "the MPI standard, chapter 8 (topologies)";

    required cart_create = "MPI_Cart_create"(
        comm_old: Comm, ndims: c_int, dims: *const c_int, periods: *const c_int, reorder: c_int,
        comm_cart: *mut Comm
    );
    required cart_get = "MPI_Cart_get"(
        comm: Comm, maxdims: c_int, dims: *mut c_int, periods: *mut c_int, coords: *mut c_int
    );
    required cart_rank = "MPI_Cart_rank"(comm: Comm, coords: *const c_int, rank: *mut c_int);
    required cart_coords = "MPI_Cart_coords"(comm: Comm, rank: c_int, maxdims: c_int, coords: *mut c_int);
    required cart_shift = "MPI_Cart_shift"(
        comm: Comm, direction: c_int, disp: c_int, rank_source: *mut c_int, rank_dest: *mut c_int
    );
    required cart_sub = "MPI_Cart_sub"(comm: Comm, remain_dims: *const c_int, newcomm: *mut Comm);
    required cart_map = "MPI_Cart_map"(
        comm: Comm, ndims: c_int, dims: *const c_int, periods: *const c_int, newrank: *mut c_int
    );
    required cartdim_get = "MPI_Cartdim_get"(comm: Comm, ndims: *mut c_int);
    required dims_create = "MPI_Dims_create"(nnodes: c_int, ndims: c_int, dims: *mut c_int);
    required topo_test = "MPI_Topo_test"(comm: Comm, status: *mut c_int);
    required dist_graph_create = "MPI_Dist_graph_create"(
        comm_old: Comm, n: c_int, sources: *const c_int, degrees: *const c_int, destinations: *const c_int,
        weights: *const c_int, info: Info, reorder: c_int, comm_dist_graph: *mut Comm
    );
    required dist_graph_create_adjacent = "MPI_Dist_graph_create_adjacent"(
        comm_old: Comm, indegree: c_int, sources: *const c_int, sourceweights: *const c_int,
        outdegree: c_int, destinations: *const c_int, destweights: *const c_int, info: Info,
        reorder: c_int, comm_dist_graph: *mut Comm
    );
    required dist_graph_neighbors_count = "MPI_Dist_graph_neighbors_count"(
        comm: Comm, indegree: *mut c_int, outdegree: *mut c_int, weighted: *mut c_int
    );
    required dist_graph_neighbors = "MPI_Dist_graph_neighbors"(
        comm: Comm, maxindegree: c_int, sources: *mut c_int, sourceweights: *mut c_int,
        maxoutdegree: c_int, destinations: *mut c_int, destweights: *mut c_int
    );
    required graph_create = "MPI_Graph_create"(
        comm_old: Comm, nnodes: c_int, index: *const c_int, edges: *const c_int, reorder: c_int,
        comm_graph: *mut Comm
    );
    required graphdims_get = "MPI_Graphdims_get"(comm: Comm, nnodes: *mut c_int, nedges: *mut c_int);
    required graph_get = "MPI_Graph_get"(
        comm: Comm, maxindex: c_int, maxedges: c_int, index: *mut c_int, edges: *mut c_int
    );
    required graph_neighbors_count = "MPI_Graph_neighbors_count"(
        comm: Comm, rank: c_int, nneighbors: *mut c_int
    );
    required graph_neighbors = "MPI_Graph_neighbors"(
        comm: Comm, rank: c_int, maxneighbors: c_int, neighbors: *mut c_int
    );
}
