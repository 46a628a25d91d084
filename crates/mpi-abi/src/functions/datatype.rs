//! Derived datatypes, packing.

use std::ffi::{c_char, c_int, c_void};

use super::{Aint, Comm, Count, Datatype, HandlePtr, functions};

functions! {
    group datatype, "the MPI standard, chapter 5 (datatypes)";

    required type_contiguous = "MPI_Type_contiguous"(count: c_int, oldtype: Datatype, newtype: *mut Datatype);
    optional type_contiguous_c = "MPI_Type_contiguous_c"(
        count: Count, oldtype: Datatype, newtype: *mut Datatype
    );
    required type_vector = "MPI_Type_vector"(
        count: c_int, blocklength: c_int, stride: c_int, oldtype: Datatype, newtype: *mut Datatype
    );
    optional type_vector_c = "MPI_Type_vector_c"(
        count: Count, blocklength: Count, stride: Count, oldtype: Datatype, newtype: *mut Datatype
    );
    required type_create_hvector = "MPI_Type_create_hvector"(
        count: c_int, blocklength: c_int, stride: Aint, oldtype: Datatype, newtype: *mut Datatype
    );
    optional type_create_hvector_c = "MPI_Type_create_hvector_c"(
        count: Count, blocklength: Count, stride: Count, oldtype: Datatype, newtype: *mut Datatype
    );
    required type_indexed = "MPI_Type_indexed"(
        count: c_int, array_of_blocklengths: *const c_int, array_of_displacements: *const c_int,
        oldtype: Datatype, newtype: *mut Datatype
    );
    optional type_indexed_c = "MPI_Type_indexed_c"(
        count: Count, array_of_blocklengths: *const Count, array_of_displacements: *const Count,
        oldtype: Datatype, newtype: *mut Datatype
    );
    required type_create_hindexed = "MPI_Type_create_hindexed"(
        count: c_int, array_of_blocklengths: *const c_int, array_of_displacements: *const Aint,
        oldtype: Datatype, newtype: *mut Datatype
    );
    optional type_create_hindexed_c = "MPI_Type_create_hindexed_c"(
        count: Count, array_of_blocklengths: *const Count, array_of_displacements: *const Count,
        oldtype: Datatype, newtype: *mut Datatype
    );
    required type_create_indexed_block = "MPI_Type_create_indexed_block"(
        count: c_int, blocklength: c_int, array_of_displacements: *const c_int, oldtype: Datatype,
        newtype: *mut Datatype
    );
    optional type_create_indexed_block_c = "MPI_Type_create_indexed_block_c"(
        count: Count, blocklength: Count, array_of_displacements: *const Count, oldtype: Datatype,
        newtype: *mut Datatype
    );
    required type_create_hindexed_block = "MPI_Type_create_hindexed_block"(
        count: c_int, blocklength: c_int, array_of_displacements: *const Aint, oldtype: Datatype,
        newtype: *mut Datatype
    );
    optional type_create_hindexed_block_c = "MPI_Type_create_hindexed_block_c"(
        count: Count, blocklength: Count, array_of_displacements: *const Count, oldtype: Datatype,
        newtype: *mut Datatype
    );
    required type_create_struct = "MPI_Type_create_struct"(
        count: c_int, array_of_blocklengths: *const c_int, array_of_displacements: *const Aint,
        array_of_types: HandlePtr<Datatype>, newtype: *mut Datatype
    );
    optional type_create_struct_c = "MPI_Type_create_struct_c"(
        count: Count, array_of_blocklengths: *const Count, array_of_displacements: *const Count,
        array_of_types: HandlePtr<Datatype>, newtype: *mut Datatype
    );
    required type_create_subarray = "MPI_Type_create_subarray"(
        ndims: c_int, array_of_sizes: *const c_int, array_of_subsizes: *const c_int,
        array_of_starts: *const c_int, order: c_int, oldtype: Datatype, newtype: *mut Datatype
    );
    optional type_create_subarray_c = "MPI_Type_create_subarray_c"(
        ndims: c_int, array_of_sizes: *const Count, array_of_subsizes: *const Count,
        array_of_starts: *const Count, order: c_int, oldtype: Datatype, newtype: *mut Datatype
    );
    required type_create_darray = "MPI_Type_create_darray"(
        size: c_int, rank: c_int, ndims: c_int, array_of_gsizes: *const c_int,
        array_of_distribs: *const c_int, array_of_dargs: *const c_int, array_of_psizes: *const c_int,
        order: c_int, oldtype: Datatype, newtype: *mut Datatype
    );
    optional type_create_darray_c = "MPI_Type_create_darray_c"(
        size: c_int, rank: c_int, ndims: c_int, array_of_gsizes: *const Count,
        array_of_distribs: *const c_int, array_of_dargs: *const c_int, array_of_psizes: *const c_int,
        order: c_int, oldtype: Datatype, newtype: *mut Datatype
    );
    required type_create_resized = "MPI_Type_create_resized"(
        oldtype: Datatype, lb: Aint, extent: Aint, newtype: *mut Datatype
    );
    optional type_create_resized_c = "MPI_Type_create_resized_c"(
        oldtype: Datatype, lb: Count, extent: Count, newtype: *mut Datatype
    );
    required type_dup = "MPI_Type_dup"(oldtype: Datatype, newtype: *mut Datatype);
    required type_commit = "MPI_Type_commit"(datatype: *mut Datatype);
    required type_free = "MPI_Type_free"(datatype: *mut Datatype);
    required type_size = "MPI_Type_size"(datatype: Datatype, size: *mut c_int);
    optional type_size_c = "MPI_Type_size_c"(datatype: Datatype, size: *mut Count);
    required type_size_x = "MPI_Type_size_x"(datatype: Datatype, size: *mut Count);
    required type_get_extent = "MPI_Type_get_extent"(datatype: Datatype, lb: *mut Aint, extent: *mut Aint);
    optional type_get_extent_c = "MPI_Type_get_extent_c"(
        datatype: Datatype, lb: *mut Count, extent: *mut Count
    );
    required type_get_extent_x = "MPI_Type_get_extent_x"(
        datatype: Datatype, lb: *mut Count, extent: *mut Count
    );
    required type_get_true_extent = "MPI_Type_get_true_extent"(
        datatype: Datatype, true_lb: *mut Aint, true_extent: *mut Aint
    );
    optional type_get_true_extent_c = "MPI_Type_get_true_extent_c"(
        datatype: Datatype, true_lb: *mut Count, true_extent: *mut Count
    );
    required type_get_true_extent_x = "MPI_Type_get_true_extent_x"(
        datatype: Datatype, true_lb: *mut Count, true_extent: *mut Count
    );
    required type_get_envelope = "MPI_Type_get_envelope"(
        datatype: Datatype, num_integers: *mut c_int, num_addresses: *mut c_int, num_datatypes: *mut c_int,
        combiner: *mut c_int
    );
    optional type_get_envelope_c = "MPI_Type_get_envelope_c"(
        datatype: Datatype, num_integers: *mut Count, num_addresses: *mut Count,
        num_large_counts: *mut Count, num_datatypes: *mut Count, combiner: *mut c_int
    );
    required type_get_contents = "MPI_Type_get_contents"(
        datatype: Datatype, max_integers: c_int, max_addresses: c_int, max_datatypes: c_int,
        array_of_integers: *mut c_int, array_of_addresses: *mut Aint,
        array_of_datatypes: HandlePtr<Datatype>
    );
    optional type_get_contents_c = "MPI_Type_get_contents_c"(
        datatype: Datatype, max_integers: Count, max_addresses: Count, max_large_counts: Count,
        max_datatypes: Count, array_of_integers: *mut c_int, array_of_addresses: *mut Aint,
        array_of_large_counts: *mut Count, array_of_datatypes: HandlePtr<Datatype>
    );
    required type_set_name = "MPI_Type_set_name"(datatype: Datatype, type_name: *const c_char);
    required type_get_name = "MPI_Type_get_name"(
        datatype: Datatype, type_name: *mut c_char, resultlen: *mut c_int
    );
    required get_address = "MPI_Get_address"(location: *const c_void, address: *mut Aint);
    required pack = "MPI_Pack"(
        inbuf: *const c_void, incount: c_int, datatype: Datatype, outbuf: *mut c_void, outsize: c_int,
        position: *mut c_int, comm: Comm
    );
    optional pack_c = "MPI_Pack_c"(
        inbuf: *const c_void, incount: Count, datatype: Datatype, outbuf: *mut c_void, outsize: Count,
        position: *mut Count, comm: Comm
    );
    required unpack = "MPI_Unpack"(
        inbuf: *const c_void, insize: c_int, position: *mut c_int, outbuf: *mut c_void, outcount: c_int,
        datatype: Datatype, comm: Comm
    );
    optional unpack_c = "MPI_Unpack_c"(
        inbuf: *const c_void, insize: Count, position: *mut Count, outbuf: *mut c_void, outcount: Count,
        datatype: Datatype, comm: Comm
    );
    required pack_size = "MPI_Pack_size"(incount: c_int, datatype: Datatype, comm: Comm, size: *mut c_int);
    optional pack_size_c = "MPI_Pack_size_c"(
        incount: Count, datatype: Datatype, comm: Comm, size: *mut Count
    );
    required pack_external = "MPI_Pack_external"(
        datarep: *const c_char, inbuf: *const c_void, incount: c_int, datatype: Datatype,
        outbuf: *mut c_void, outsize: Aint, position: *mut Aint
    );
    optional pack_external_c = "MPI_Pack_external_c"(
        datarep: *const c_char, inbuf: *const c_void, incount: Count, datatype: Datatype,
        outbuf: *mut c_void, outsize: Count, position: *mut Count
    );
    required unpack_external = "MPI_Unpack_external"(
        datarep: *const c_char, inbuf: *const c_void, insize: Aint, position: *mut Aint,
        outbuf: *mut c_void, outcount: c_int, datatype: Datatype
    );
    optional unpack_external_c = "MPI_Unpack_external_c"(
        datarep: *const c_char, inbuf: *const c_void, insize: Count, position: *mut Count,
        outbuf: *mut c_void, outcount: Count, datatype: Datatype
    );
    required pack_external_size = "MPI_Pack_external_size"(
        datarep: *const c_char, incount: c_int, datatype: Datatype, size: *mut Aint
    );
    optional pack_external_size_c = "MPI_Pack_external_size_c"(
        datarep: *const c_char, incount: Count, datatype: Datatype, size: *mut Count
    );
}
