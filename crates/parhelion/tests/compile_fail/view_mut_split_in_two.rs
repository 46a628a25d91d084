use parhelion::array::{IndexSpace, ViewMut};

fn main() {
    let space = IndexSpace::from_shape([4]);
    let mut buffer = vec![1.0; 4];
    let mut view = ViewMut::new(&mut buffer, space, space);
    let mut low = view.reborrow().region(IndexSpace::new([0], [3]));
    let mut high = view.reborrow().region(IndexSpace::new([1], [4]));
    std::mem::swap(&mut low[[1]], &mut high[[1]]);
}
