// Masks from COCO's run-length codes, and how they are drawn over the photo.

const LONGEST = 1600; // pixels of the canvas: masks of large photos are sampled, not expanded
const TINT = 110, DIM = 75, LIT = 170, OUTLINE = 235; // opacities, of 255

// The lengths of the runs of a compressed code, of 0 and 1 in turn, column by column.
function runLengths(text) {
  const runs = [];
  for (let p = 0; p < text.length; ) {
    let value = 0, shift = 0, code;
    do {
      code = text.charCodeAt(p++) - 48;
      value |= (code & 31) << shift;
      shift += 5;
    } while (code & 32);
    if (code & 16) value |= -1 << shift;
    if (runs.length > 2) value += runs[runs.length - 2];
    runs.push(value);
  }
  return runs;
}

export function canvasSize(width, height) {
  const scale = Math.min(1, LONGEST / Math.max(width, height));
  return { scale, width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
}

// The indices of a mask's pixels on the canvas; of a part of few pixels at least one.
export function maskPixels(mask, size) {
  const [height] = mask.size, { scale } = size, pixels = [];
  let start = 0, first = -1;
  runLengths(mask.counts).forEach((length, number) => {
    const end = start + length;
    if (number % 2 && length) {
      if (first < 0) first = start;
      for (let at = start; at < end; ) {
        const column = Math.floor(at / height), next = Math.min(end, (column + 1) * height);
        const x = Math.floor(column * scale);
        // Of several columns that fall into one, the first is taken.
        if (x < size.width && (column === 0 || Math.floor((column - 1) * scale) !== x)) {
          const top = Math.ceil((at - column * height) * scale);
          const bottom = Math.min(size.height, Math.ceil((next - column * height) * scale));
          for (let y = top; y < bottom; y++) pixels.push(y * size.width + x);
        }
        at = next;
      }
    }
    start = end;
  });
  if (!pixels.length && first >= 0) {
    const x = Math.min(size.width - 1, Math.floor(Math.floor(first / height) * scale));
    pixels.push(Math.min(size.height - 1, Math.floor((first % height) * scale)) * size.width + x);
  }
  return Int32Array.from(pixels);
}

// Which of the parts is on top at each pixel: the smallest; its place in the list + 1, or 0.
export function topParts(parts, size) {
  const top = new Uint16Array(size.width * size.height);
  const order = parts.map((_, i) => i).sort((a, b) => parts[b].pixels.length - parts[a].pixels.length);
  for (const i of order) for (const pixel of parts[i].pixels) top[pixel] = i + 1;
  return top;
}

// Paint the parts on a canvas; one of them may be lit, and the others are dimmed then.
export function drawParts(canvas, parts, top, size, lit) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(size.width, size.height);
  const paint = (pixel, [red, green, blue], opacity) => image.data.set([red, green, blue, opacity], 4 * pixel);
  const usual = lit ? DIM : TINT;
  for (let pixel = 0; pixel < top.length; pixel++) {
    const number = top[pixel];
    if (!number) continue;
    const color = parts[number - 1].color;
    if (!lit && onBorder(pixel, size, (other) => top[other] === number)) paint(pixel, light(color), OUTLINE);
    else paint(pixel, color, usual);
  }
  if (lit) {
    const inside = new Set(lit.pixels);
    for (const pixel of lit.pixels) {
      if (onBorder(pixel, size, (other) => inside.has(other))) paint(pixel, [255, 255, 255], 255);
      else paint(pixel, lit.color, LIT);
    }
  }
  context.putImageData(image, 0, 0);
}

function onBorder(pixel, { width, height }, same) {
  const x = pixel % width, y = (pixel - x) / width;
  return (x > 0 && !same(pixel - 1)) || (x < width - 1 && !same(pixel + 1)) ||
    (y > 0 && !same(pixel - width)) || (y < height - 1 && !same(pixel + width));
}

const light = (color) => color.map((channel) => Math.round(0.4 * channel + 153));
