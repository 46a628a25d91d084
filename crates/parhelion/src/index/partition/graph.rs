//! [`Graph`]: vertices and the edges between them, held whole, as partitioners take them.

use std::fmt;

use parhelion_comm::Result;

use super::invalid;

/// An undirected graph: for each vertex, from 0, its neighbours, ascending, each once and never itself; weights of edges and
/// vertices where there are any.
#[derive(Clone, PartialEq, Eq)]
pub struct Graph {
    starts: Vec<usize>,
    neighbours: Vec<usize>,
    /// As many as neighbours, or none.
    edge_weights: Vec<u64>,
    /// As many as `constraints` for each vertex.
    vertex_weights: Vec<u64>,
    constraints: usize,
}

impl Graph {
    /// The graph of `vertices` vertices with these edges, in either direction or both; loops are left out. Local.
    ///
    /// # Errors
    /// An edge to a vertex that there is none of.
    pub fn from_edges(vertices: usize, edges: impl IntoIterator<Item = (u64, u64)>) -> Result<Self> {
        let mut both: Vec<(usize, usize)> = Vec::new();
        for (a, b) in edges {
            if a.max(b) >= vertices as u64 {
                return Err(invalid(format!("an edge between {a} and {b} in a graph of {vertices} vertices, from 0")));
            }
            if a != b {
                both.extend([(a as usize, b as usize), (b as usize, a as usize)]);
            }
        }
        both.sort_unstable();
        both.dedup();
        let mut starts = vec![0; vertices + 1];
        both.iter().for_each(|edge| starts[edge.0 + 1] += 1);
        for vertex in 0..vertices {
            starts[vertex + 1] += starts[vertex];
        }
        let neighbours = both.into_iter().map(|edge| edge.1).collect();
        Ok(Graph { starts, neighbours, edge_weights: Vec::new(), vertex_weights: Vec::new(), constraints: 0 })
    }

    /// Reads the format of METIS and Chaco: a line with the number of vertices, that of edges, and what weights there are
    /// (`fmt`: vertex sizes, vertex weights, edge weights, as three digits; and the number of weights of a vertex), then a
    /// line for each vertex with its neighbours, numbered from 1. Lines that begin with `%` are comments. Vertex sizes are left
    /// out. (METIS manual, section 4.1.1.)
    ///
    /// # Errors
    /// What breaks the format, with the number of the line: a neighbour beyond the last vertex, a loop, a neighbour that
    /// comes twice, an edge that only one of its ends has or with two weights, other numbers of lines or edges than said.
    ///
    /// ```
    /// use parhelion::index::Graph;
    ///
    /// let triangle_with_a_tail = Graph::from_metis("% four vertices\n4 4\n2 3\n1 3\n1 2 4\n3\n")?;
    /// assert_eq!((triangle_with_a_tail.len(), triangle_with_a_tail.edges()), (4, 4));
    /// assert_eq!(triangle_with_a_tail.neighbours(2), [0, 1, 3]);
    /// # Ok::<(), parhelion::Error>(())
    /// ```
    pub fn from_metis(text: &str) -> Result<Self> {
        let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim_start().starts_with('%'));
        let header = lines.by_ref().find(|(_, line)| !line.trim().is_empty());
        let Some((first, header)) = header else { return Err(invalid("a graph without a first line".to_owned())) };
        let Header { vertices, edges, sizes, constraints, weighted } = Header::read(first, header)?;
        let mut graph = Graph {
            starts: vec![0],
            neighbours: Vec::new(),
            edge_weights: Vec::new(),
            vertex_weights: Vec::new(),
            constraints,
        };
        // Where each vertex was, to say so.
        let mut places: Vec<usize> = Vec::new();
        let mut row: Vec<(usize, u64)> = Vec::new();
        for (number, line) in lines {
            if places.len() == vertices {
                if line.trim().is_empty() {
                    continue;
                }
                return Err(invalid(format!("line {number}: one more than the {vertices} vertices of line {first}")));
            }
            let vertex = places.len();
            let mut numbers = line.split_ascii_whitespace().map(|word| Ok((word, parse(number, word)?)));
            let missing = || invalid(format!("line {number}: vertex {} has too few numbers", vertex + 1));
            if sizes {
                numbers.next().ok_or_else(missing)??;
            }
            for _ in 0..constraints {
                graph.vertex_weights.push(numbers.next().ok_or_else(missing)??.1);
            }
            row.clear();
            while let Some((word, neighbour)) = numbers.next().transpose()? {
                let weight = if weighted { numbers.next().ok_or_else(missing)??.1 } else { 1 };
                if neighbour == 0 || neighbour > vertices as u64 {
                    return Err(invalid(format!("line {number}: {word} is no vertex; there are 1 to {vertices}")));
                }
                row.push((neighbour as usize - 1, weight));
            }
            row.sort_unstable();
            let wrong = |text: String| Err(invalid(format!("line {number}: vertex {} {text}", vertex + 1)));
            if row.iter().any(|&(other, _)| other == vertex) {
                return wrong("is its own neighbour".to_owned());
            }
            if let Some(twice) = row.windows(2).find(|w| w[0].0 == w[1].0) {
                return wrong(format!("has neighbour {} twice", twice[0].0 + 1));
            }
            graph.neighbours.extend(row.iter().map(|entry| entry.0));
            if weighted {
                graph.edge_weights.extend(row.iter().map(|entry| entry.1));
            }
            graph.starts.push(graph.neighbours.len());
            places.push(number);
        }
        if places.len() < vertices {
            return Err(invalid(format!("{} lines for the {vertices} vertices of line {first}", places.len())));
        }
        graph.check_symmetry(&places)?;
        if graph.edges() != edges {
            return Err(invalid(format!("line {first} says {edges} edges; there are {}", graph.edges())));
        }
        Ok(graph)
    }

    fn check_symmetry(&self, places: &[usize]) -> Result<()> {
        for vertex in 0..self.len() {
            for (i, &other) in self.neighbours(vertex).iter().enumerate() {
                let weight = |vertex, i: usize| self.edge_weights(vertex).map(|weights| weights[i]);
                let back = self.neighbours(other).binary_search(&vertex).ok();
                if back.is_none_or(|back| weight(other, back) != weight(vertex, i)) {
                    let text = if back.is_some() { "with another weight" } else { "but not the other way round" };
                    return Err(invalid(format!(
                        "line {}: vertex {} has neighbour {}, {text} (line {})",
                        places[vertex],
                        vertex + 1,
                        other + 1,
                        places[other]
                    )));
                }
            }
        }
        Ok(())
    }

    /// The number of vertices.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether there are no vertices.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of edges, each counted once.
    pub fn edges(&self) -> usize {
        self.neighbours.len() / 2
    }

    /// The neighbours of a vertex, ascending.
    ///
    /// # Panics
    /// From [`len`](Self::len) on, as the following.
    pub fn neighbours(&self, vertex: usize) -> &[usize] {
        &self.neighbours[self.starts[vertex]..self.starts[vertex + 1]]
    }

    /// The weights of the edges to these neighbours; `None` where edges have none.
    pub fn edge_weights(&self, vertex: usize) -> Option<&[u64]> {
        self.edge_weights.get(self.starts[vertex]..self.starts[vertex + 1]).filter(|_| !self.edge_weights.is_empty())
    }

    /// The weights of a vertex, [`constraints`](Self::constraints) of them.
    pub fn vertex_weights(&self, vertex: usize) -> &[u64] {
        &self.vertex_weights[self.constraints * vertex..self.constraints * (vertex + 1)]
    }

    /// How many weights each vertex has.
    pub fn constraints(&self) -> usize {
        self.constraints
    }

    /// Both directions of every edge, by vertex: what [`Pattern::edges`](crate::index::Pattern::edges) takes.
    pub fn directed_edges(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        (0..self.len()).flat_map(|a| self.neighbours(a).iter().map(move |&b| (a as u64, b as u64)))
    }
}

/// The first line.
struct Header {
    vertices: usize,
    edges: usize,
    sizes: bool,
    constraints: usize,
    weighted: bool,
}

impl Header {
    fn read(number: usize, line: &str) -> Result<Header> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let wrong = |text: &str| Err(invalid(format!("line {number}: {text}")));
        let (&[vertices, edges, ref rest @ ..], 2..=4) = (&words[..], words.len()) else {
            return wrong("give the numbers of vertices and edges, and of what weights there are");
        };
        let format = rest.first().copied().unwrap_or("0");
        if format.len() > 3 || format.bytes().any(|digit| !matches!(digit, b'0' | b'1')) {
            return wrong("what weights there are is said by up to three digits, each 0 or 1");
        }
        let digit = |from_the_right: usize| format.bytes().rev().nth(from_the_right) == Some(b'1');
        let given = rest.get(1).map(|word| parse(number, word)).transpose()?;
        let constraints = match (digit(1), given) {
            (false, _) => 0,
            (true, None) => 1,
            (true, Some(0)) => return wrong("vertices have weights, but 0 of them"),
            (true, Some(count)) => count as usize,
        };
        let count = |word| parse(number, word).map(|count| count as usize);
        Ok(Header {
            vertices: count(vertices)?,
            edges: count(edges)?,
            sizes: digit(2),
            constraints,
            weighted: digit(0),
        })
    }
}

fn parse(line: usize, word: &str) -> Result<u64> {
    word.parse().map_err(|_| {
        let shown: String = word.chars().take(40).collect();
        invalid(format!("line {line}: {shown:?} is not a number"))
    })
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Graph({} vertices, {} edges)", self.len(), self.edges())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::index::Partition;

    /// A graph with all there can be, and its text with a piece replaced by another, and cut short.
    fn damaged() -> impl Strategy<Value = String> {
        let whole = "% sizes\n4 2 111 3\n9 1 2 3  2 7\n9 4 5 6  3 8 1 7\n9 7 8 9  2 8\n9 1 1 1\n";
        let piece = prop_oneof!["[0-9 %.x\n-]{0,6}", Just("18446744073709551615".to_owned()), any::<String>()];
        (0..whole.len(), 0..4usize, piece, 0..2 * whole.len()).prop_map(move |(at, len, piece, end)| {
            let text = format!("{}{piece}{}", &whole[..at], &whole[(at + len).min(whole.len())..]);
            text.chars().take(end).collect()
        })
    }

    proptest! {
        #[test]
        fn no_text_makes_a_graph_that_is_none(text in prop_oneof![damaged(), "[0-9 %\n]{0,40}", any::<String>()]) {
            let Ok(graph) = Graph::from_metis(&text) else { return Ok(()) };
            prop_assert_eq!(graph.directed_edges().count(), 2 * graph.edges());
            for (a, b) in graph.directed_edges() {
                prop_assert!(a != b && graph.neighbours(b as usize).contains(&(a as usize)));
            }
            for vertex in 0..graph.len() {
                prop_assert_eq!(graph.vertex_weights(vertex).len(), graph.constraints());
                let weights = graph.edge_weights(vertex).map(<[u64]>::len);
                prop_assert!(weights.is_none_or(|len| len == graph.neighbours(vertex).len()));
            }
            let cut = Partition::random(graph.len(), 3, 1).edge_cut(&graph);
            prop_assert!(cut == 0 || graph.edges() > 0);
        }
    }

    #[test]
    fn weights_of_vertices_and_edges_are_read_in_their_places() {
        // Three constraints, sizes and edge weights: the path 1 - 2 - 3 and 4 alone.
        let text = "4 2 111 3\n9 1 2 3  2 7\n9 4 5 6  3 8 1 7\n9 7 8 9  2 8\n9 1 1 1\n";
        let graph = Graph::from_metis(text).unwrap();
        assert_eq!((graph.len(), graph.edges(), graph.constraints()), (4, 2, 3));
        assert_eq!((graph.neighbours(1), graph.edge_weights(1)), (&[0, 2][..], Some(&[7, 8][..])));
        assert_eq!((graph.vertex_weights(2), graph.neighbours(3)), (&[7, 8, 9][..], &[][..]));
        let plain = Graph::from_metis("3 1 010\n5 2\n6 1\n7\n").unwrap();
        assert_eq!((plain.constraints(), plain.vertex_weights(2), plain.edge_weights(0)), (1, &[7][..], None));
    }

    #[test]
    fn a_vertex_without_neighbours_has_an_empty_line() {
        let graph = Graph::from_metis("% first\n3 1\n3\n\n% between\n1\n\n\n").unwrap();
        assert_eq!((graph.neighbours(0), graph.neighbours(1), graph.edges()), (&[2][..], &[][..], 1));
        assert!(Graph::from_metis("0 0").unwrap().is_empty());
    }

    #[test]
    fn what_breaks_the_format_is_told_with_its_line() {
        for (text, words) in [
            ("", "first line"),
            ("4", "line 1"),
            ("2 1 012\n2\n1\n", "digits"),
            ("2 1 0111\n2\n1\n", "digits"),
            ("2 1 010 0\n2\n1\n", "0 of them"),
            ("2 x\n2\n1\n", "\"x\""),
            ("2 1\n3\n1\n", "line 2: 3 is no vertex"),
            ("2 1\n0\n1\n", "line 2: 0 is no vertex"),
            ("2 1\n1\n1\n", "line 2: vertex 1 is its own neighbour"),
            ("2 1\n2 2\n1\n", "line 2: vertex 1 has neighbour 2 twice"),
            ("3 2\n2\n1\n1\n", "line 4: vertex 3 has neighbour 1, but not the other way round (line 2)"),
            ("2 1 1\n2 5\n1 6\n", "another weight"),
            ("2 1 1\n2 5\n1\n", "line 3: vertex 2 has too few"),
            ("2 1 10\n1 2\n\n", "line 3: vertex 2 has too few"),
            ("3 1\n2\n1\n", "2 lines for the 3 vertices"),
            ("2 1\n2\n1\n1\n", "line 4: one more"),
            ("2 2\n2\n1\n", "says 2 edges; there are 1"),
            ("18446744073709551615 1\n2\n1\n", "2 lines for"),
            ("2 1\n2 -1\n1\n", "\"-1\""),
        ] {
            let error = Graph::from_metis(text).map(|g| format!("{g:?}")).unwrap_err().to_string();
            assert!(error.contains(words), "{text:?}: {error}");
        }
    }

    #[test]
    fn edges_are_taken_in_either_direction_or_both() {
        let graph = Graph::from_edges(4, [(0, 1), (1, 0), (3, 1), (2, 2)]).unwrap();
        assert_eq!((graph.edges(), graph.neighbours(1), graph.neighbours(2)), (2, &[0, 3][..], &[][..]));
        assert_eq!(graph.directed_edges().collect::<Vec<_>>(), [(0, 1), (1, 0), (1, 3), (3, 1)]);
        assert!(Graph::from_edges(2, [(0, 2)]).is_err());
    }
}
