//! Decompositions over real ranks: all of them compute the same geometry, each without asking the others.

use parhelion::array::{Decomposition, Distribution};
use parhelion::{BackendKind, Config, Error, Op, Result};

fn on_ranks(ranks: usize, main: impl Fn(parhelion::Communicator) -> Result<()> + Sync) {
    let config = Config::default().backend(BackendKind::Local).ranks(ranks);
    parhelion::launch(&config, main).unwrap_or_else(|error: Error| panic!("{ranks} ranks: {error}"));
}

#[test]
fn all_ranks_find_the_same_owners_and_each_cell_has_one() {
    for ranks in 1..=7 {
        on_ranks(ranks, |world| {
            // Fewer rows than ranks, now and then, and rules of every kind.
            for rows in
                [Distribution::Block, Distribution::Cyclic, Distribution::BlockCyclic(2), Distribution::Replicated]
            {
                let grid = Decomposition::new([5, 8], &world)?.distribution([rows, Distribution::Block]);
                grid.check()?;
                let same = world.all_reduce(&[grid.fingerprint(), !grid.fingerprint()], Op::Max)?;
                assert_eq!(same[0], !same[1], "ranks disagree");
                let me = world.rank();
                let mut owned = vec![0u8; 40];
                for index in grid.space() {
                    assert_eq!(grid.owner(index) == me, grid.to_local(me, index).is_some() && grid.is_first_copy(me));
                    owned[grid.space().linear(index)] = u8::from(grid.owner(index) == me);
                }
                assert_eq!(world.all_reduce(&owned, Op::Sum)?, [1; 40]);
            }
            Ok(())
        });
    }
}

#[test]
fn what_one_rank_receives_is_what_its_neighbours_send() {
    for ranks in [1, 2, 3, 6, 7] {
        on_ranks(ranks, |world| {
            let grid =
                Decomposition::new([9, 4, 3], &world)?.halo(2).periodic([true, false, true]).edges_and_corners(true);
            let me = world.rank();
            let mut sends = vec![0u64; ranks];
            grid.halo_targets(me).iter().for_each(|piece| sends[piece.peer] += piece.source.len() as u64);
            let mut receives = vec![0u64; ranks];
            grid.halo_sources(me).iter().for_each(|piece| receives[piece.peer] += piece.space.len() as u64);
            // Row r of all receives, column me: what rank r expects of this rank.
            let all = world.all_gather(&receives)?;
            assert_eq!(sends, all.chunks(ranks).map(|of_rank| of_rank[me]).collect::<Vec<_>>());
            let others: Vec<usize> = (0..ranks).filter(|&r| r != me && sends[r] + receives[r] > 0).collect();
            assert_eq!(grid.neighbours(me), others);
            Ok(())
        });
    }
}
