//! What building costs a rank does not grow with the number of ranks.

use parhelion::array::{Decomposition, IndexSpace};
use parhelion::halo::{BuildCost, Patches};
use parhelion::index::{Coverage, Descriptor, Migration};

use crate::model::{on_threads, on_threads_with};

/// The largest of each count over the ranks.
fn largest(costs: &[BuildCost]) -> BuildCost {
    let most = |count: fn(&BuildCost) -> usize| costs.iter().map(count).max().unwrap_or(0);
    BuildCost {
        messages_sent: most(|c| c.messages_sent),
        bytes_sent: most(|c| c.bytes_sent),
        messages_received: most(|c| c.messages_received),
        bytes_received: most(|c| c.bytes_received),
        collectives: most(|c| c.collectives),
        collective_bytes: most(|c| c.collective_bytes),
    }
}

/// A plan from publications: one block of `shape` per rank with a halo of one cell and corners, where `place` puts it.
fn blocks<const D: usize>(
    ranks: usize,
    shape: [i64; D],
    periods: [Option<usize>; D],
    place: impl Fn(i64) -> [i64; D] + Sync,
) -> BuildCost {
    let costs = on_threads(ranks, |world| {
        // Neighbours in space are not neighbours in rank.
        let block = (world.rank() * 37 + 5) % ranks;
        let at = place(block as i64);
        let owned = IndexSpace::new([0; D], shape).translate(std::array::from_fn(|a| at[a] * shape[a]));
        let around = match periods.iter().all(Option::is_some) {
            true => owned.grow(1),
            false => owned,
        };
        let mut patches = Patches::new().periodic(periods);
        let patch = patches.add(around);
        patches.publish(patch, owned);
        patches.request(patch, around);
        Ok(patches.plan(&world)?.build_cost())
    });
    largest(&costs)
}

/// With blocks that lie in the coarse grid everywhere alike, the numbers are equal.
fn does_not_grow(what: &str, [few, more, many]: [BuildCost; 3]) {
    println!("{what}: {few:?}");
    for costs in [more, many] {
        assert_eq!(costs, few, "{what}");
    }
}

#[test]
fn publications_of_blocks_on_a_plane() {
    let cost = |side: i64| {
        let period = Some(16 * side as usize);
        blocks((side * side) as usize, [16, 16], [period; 2], |b| [b / side, b % side])
    };
    does_not_grow("plane", [4, 8, 16].map(cost));
}

#[test]
fn publications_of_blocks_in_space() {
    let cost = |long: i64| {
        let periods = [Some(10 * long as usize), Some(40), Some(40)];
        blocks(16 * long as usize, [10; 3], periods, |b| [b / 16, b / 4 % 4, b % 4])
    };
    // Blocks of 10 lie in a grid of 16 differently from place to place; the busiest rank of 64 saw most of it.
    let [few, more, many] = [4, 8, 16].map(cost);
    println!("space: {few:?}\n{more:?}\n{many:?}");
    for costs in [more, many] {
        let near = |count: fn(&BuildCost) -> usize| assert!(4 * count(&costs) <= 5 * count(&few), "{costs:?}, {few:?}");
        near(|c| c.messages_sent);
        near(|c| c.messages_received);
        near(|c| c.bytes_sent);
        near(|c| c.bytes_received);
        assert_eq!((costs.collectives, costs.collective_bytes), (few.collectives, few.collective_bytes));
    }
}

#[test]
fn publications_of_thin_slabs() {
    let cost = |n: i64| blocks(n as usize, [2, 512], [Some(2 * n as usize), Some(512)], |b| [b, 0]);
    does_not_grow("slabs", [16, 64, 256].map(cost));
}

#[test]
fn publications_far_apart() {
    // On a diagonal almost all of the space around is empty, so meeting places are drawn by hashing: some rank draws more
    // than others, the more the more ranks there are, but only logarithmically.
    let cost = |n: i64| blocks(n as usize, [8, 8], [None; 2], |b| [3 * b, 3 * b]);
    let costs = [16, 64, 256].map(cost);
    for (cost, ranks) in costs.iter().zip([16.0f64, 64.0, 256.0]) {
        println!("diagonal, {ranks} ranks: {cost:?}");
        assert!(cost.messages_sent as f64 <= 4.0 + 4.0 * ranks.log2(), "{cost:?}");
        assert!(cost.messages_received as f64 <= 4.0 + 4.0 * ranks.log2(), "{cost:?}");
        assert!(cost.bytes_sent <= 2048 + 512 * ranks.log2() as usize, "{cost:?}");
        assert_eq!(cost.collectives, costs[0].collectives);
    }
}

/// The plan of a decomposition of one block per rank, with 26 neighbours each.
fn decomposition(ranks: [usize; 3], checks: bool) -> BuildCost {
    let costs = on_threads_with(ranks.iter().product(), checks, |world| {
        let grid = Decomposition::new(ranks.map(|n| 4 * n), &world)?.grid(ranks);
        Ok(grid.halo(1).periodic([true; 3]).edges_and_corners(true).plan()?.build_cost())
    });
    largest(&costs)
}

#[test]
fn decompositions_need_no_messages_and_checking_them_one_per_neighbour() {
    let grids = [[4, 4, 1], [4, 4, 4], [16, 4, 4]];
    assert_eq!(grids.map(|grid| decomposition(grid, false)), [BuildCost::default(); 3]);
    let grids = [[4, 4, 3], [4, 4, 4], [16, 4, 4]];
    let [few, more, many] = grids.map(|grid| decomposition(grid, true));
    assert_eq!([few.messages_sent, few.messages_received], [26; 2]);
    assert_eq!([more, many], [few; 2]);
}

/// What a descriptor of `each` indices for each rank costs, its extension by two layers, and a migration to it. The indices are a
/// ring of blocks that lie with ranks as they come, and each needs those up to `reach` away.
fn descriptors(ranks: usize, each: u64, reach: u64) -> [BuildCost; 3] {
    let n = each * ranks as u64;
    let costs = on_threads(ranks, |world| {
        // Neighbours on the ring are not neighbours in rank, nor are the slices of the directory with their owners.
        let block = |rank: usize| ((rank * 37 + 5) % ranks) as u64;
        let own = |block: u64| each * block..each * (block + 1);
        let near = |i: u64| (1..=reach).flat_map(move |d| [(i, (i + d) % n), (i, (i + n - d) % n)]);
        let mine = own(block(world.rank()));
        let index = Descriptor::builder(&world).owned(mine.clone()).edges(mine.flat_map(near)).assemble()?;
        let wide = index.extend(2)?;
        let next = own((block(world.rank()) + 1) % ranks as u64);
        let other = Descriptor::builder(&world).owned(next).coverage(Coverage::Once).assemble()?;
        let migration = Migration::new(&other, &index)?;
        let extension = wide.extension_plan().expect("every rank has layers");
        Ok([index.plan().build_cost(), extension.build_cost(), migration.plan().build_cost()])
    });
    std::array::from_fn(|i| largest(&costs.iter().map(|costs| costs[i]).collect::<Vec<_>>()))
}

#[test]
fn descriptors_their_layers_and_migrations() {
    for (each, reach) in [(64, 1), (30, 7)] {
        let [few, more, many] = [16, 64, 256].map(|ranks| descriptors(ranks, each, reach));
        for (i, what) in ["descriptor", "extension", "migration"].into_iter().enumerate() {
            does_not_grow(what, [few[i], more[i], many[i]]);
            assert!(few[i].messages_sent > 0 && few[i].messages_received > 0, "{what}: {:?}", few[i]);
        }
    }
}
