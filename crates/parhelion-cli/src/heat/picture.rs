//! Pictures: the start read from one, and fields drawn as one.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::Path;

use crate::error::{Error, Result, in_words};

/// More pixels than this are refused: a header may claim anything.
const MOST_PIXELS: u64 = 1 << 28;

/// Colours of values from lowest to highest: cold, nothing, warm; light in the middle.
const COLOURS: [[f64; 3]; 5] =
    [[24.0, 52.0, 120.0], [92.0, 152.0, 206.0], [246.0, 246.0, 242.0], [232.0, 132.0, 90.0], [136.0, 20.0, 44.0]];

/// A picture, one or three values a pixel.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Picture {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Grey, or red, green and blue: each `rows` × `columns`, by rows, from 0 to 1.
    pub(crate) channels: Vec<Vec<f64>>,
}

impl Picture {
    /// Reads a PNG; what is transparent becomes white.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| Error::io(path, "read", &error))?;
        Self::decode(BufReader::new(file)).map_err(|reason| Error::file(path, reason))
    }

    fn decode(source: impl io::BufRead + io::Seek) -> Result<Self, String> {
        let mut decoder = png::Decoder::new(source);
        decoder.set_transformations(png::Transformations::normalize_to_color8());
        let not_png = |error: png::DecodingError| match error {
            png::DecodingError::IoError(error) => format!("cannot read a PNG: {}", in_words(&error)),
            other => format!("not a PNG that can be read: {other}"),
        };
        let mut reader = decoder.read_info().map_err(not_png)?;
        let (columns, rows) = reader.info().size();
        if u64::from(columns) * u64::from(rows) > MOST_PIXELS {
            return Err(format!("{columns} x {rows} pixels are more than the {MOST_PIXELS} that are read"));
        }
        let bytes = reader.output_buffer_size().ok_or("the picture is larger than memory")?;
        let mut pixels = vec![0; bytes];
        let frame = reader.next_frame(&mut pixels).map_err(not_png)?;
        let samples = frame.color_type.samples();
        let (shown, has_alpha) = (if samples < 3 { 1 } else { 3 }, samples.is_multiple_of(2));
        let level = |byte: u8| f64::from(byte) / 255.0;
        // What shows through is white.
        let opacity = |pixel: &[u8]| if has_alpha { level(pixel[samples - 1]) } else { 1.0 };
        let over_white = |pixel: &[u8], c: usize| opacity(pixel) * level(pixel[c]) + (1.0 - opacity(pixel));
        let channel = |c: usize| pixels.chunks_exact(samples).map(|pixel| over_white(pixel, c)).collect();
        Ok(Self { rows: rows as usize, columns: columns as usize, channels: (0..shown).map(channel).collect() })
    }

    /// A field of any values as a picture: colours from -`largest` to `largest`.
    pub(crate) fn of_field(rows: usize, columns: usize, values: &[f64], largest: f64) -> Self {
        let mut channels: Vec<Vec<f64>> = (0..3).map(|_| Vec::with_capacity(values.len())).collect();
        for value in values {
            for (channel, level) in channels.iter_mut().zip(colour((value / largest + 1.0) / 2.0)) {
                channel.push(level);
            }
        }
        Self { rows, columns, channels }
    }

    /// Writes it as PNG; values below 0 and above 1 are cut.
    pub(crate) fn write(&self, out: impl Write) -> io::Result<()> {
        let dimension = |n: usize| u32::try_from(n).map_err(|_| io::Error::other("too large for a PNG"));
        let mut encoder = png::Encoder::new(out, dimension(self.columns)?, dimension(self.rows)?);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_color(if self.channels.len() == 1 { png::ColorType::Grayscale } else { png::ColorType::Rgb });
        let mut pixels = Vec::with_capacity(self.rows * self.columns * self.channels.len());
        for pixel in 0..self.rows * self.columns {
            pixels.extend(self.channels.iter().map(|channel| (channel[pixel].clamp(0.0, 1.0) * 255.0).round() as u8));
        }
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&pixels)?;
        writer.finish()?;
        Ok(())
    }
}

/// The colour at `place`, from 0 to 1, of the scale.
fn colour(place: f64) -> [f64; 3] {
    let place = place.clamp(0.0, 1.0) * (COLOURS.len() - 1) as f64;
    let below = (place as usize).min(COLOURS.len() - 2);
    let part = place - below as f64;
    std::array::from_fn(|c| (COLOURS[below][c] * (1.0 - part) + COLOURS[below + 1][c] * part) / 255.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(picture: &Picture) -> Picture {
        let mut bytes = Vec::new();
        picture.write(&mut bytes).unwrap();
        Picture::decode(io::Cursor::new(bytes)).unwrap()
    }

    #[test]
    fn grey_and_coloured_pictures_come_back() {
        let level = |n: usize| (n % 256) as f64 / 255.0;
        for count in [1, 3] {
            let channels = (0..count).map(|c| (0..15).map(|i| level(i * 16 + c)).collect()).collect();
            let picture = Picture { rows: 3, columns: 5, channels };
            assert_eq!(round_trip(&picture), picture);
        }
    }

    #[test]
    fn what_is_transparent_becomes_white() {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 3, 1);
        encoder.set_color(png::ColorType::GrayscaleAlpha);
        encoder.write_header().unwrap().write_image_data(&[0, 255, 0, 0, 200, 51]).unwrap();
        let picture = Picture::decode(io::Cursor::new(bytes)).unwrap();
        let levels: Vec<f64> = picture.channels[0].iter().map(|v| (v * 255.0).round()).collect();
        assert_eq!((picture.channels.len(), &levels[..]), (1, &[0.0, 255.0, 244.0][..]));
    }

    #[test]
    fn what_is_no_picture_is_refused_with_a_reason() {
        for bytes in [&b""[..], b"GIF89a", b"\x89PNG\r\n\x1a\n"] {
            assert!(Picture::decode(io::Cursor::new(bytes)).unwrap_err().contains("PNG"));
        }
    }

    #[test]
    fn the_scale_runs_from_cold_to_warm_and_is_cut_at_its_ends() {
        let picture = Picture::of_field(1, 3, &[-9.0, 0.0, 9.0], 1.5);
        let pixel = |i: usize| [0, 1, 2].map(|c| (picture.channels[c][i] * 255.0).round());
        assert_eq!([pixel(0), pixel(1), pixel(2)], [COLOURS[0], COLOURS[2], COLOURS[4]]);
    }
}
