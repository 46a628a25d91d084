use parhelion::array::{IndexSpace, ViewMut};

fn main() {
    let space = IndexSpace::from_shape([4]);
    let mut buffer = vec![1.0; 4];
    let mut view = ViewMut::new(&mut buffer, space, space);
    let old = view.view();
    view[[1]] = old[[0]];
    println!("{}", old[[1]]);
}
