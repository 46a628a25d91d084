use parhelion::array::{IndexSpace, RegionsMut};

fn main() {
    let space = IndexSpace::from_shape([4]);
    let mut buffer = vec![1.0; 4];
    let mut regions = RegionsMut::new(&mut buffer, space, vec![space]);
    let mut one = regions.views_mut().next().unwrap();
    let mut other = regions.views_mut().next().unwrap();
    std::mem::swap(&mut one[[1]], &mut other[[1]]);
}
