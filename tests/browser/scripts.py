"""What runs in the page, in JavaScript, and in the notebook's kernel, in Python, to drive a panel and to check it."""

# What a panel shows: the texts beside its sliders (with a minus from the keyboard) and the bytes of its picture.
READ = """box => ({
    values: [...box.querySelectorAll('.widget-slider')].map(slider => [
        slider.querySelector('.widget-label').textContent,
        slider.querySelector('.widget-readout').textContent.replace('\\u2212', '-')]),
    picture: fetch(box.querySelector('img').src).then(answer => answer.blob()).then(blob => new Promise(done => {
        const reader = new FileReader();
        reader.onload = () => done(reader.result.split(',')[1]);
        reader.readAsDataURL(blob);
    })),
})"""
# The fetch begins in the moment in which the address is read, so that the page cannot take it back between the two.
VALUES = f"box => ({READ})(box).values"
PICTURE = f"box => ({READ})(box).picture"
MOVED = f"([box, values]) => JSON.stringify(({VALUES})(box)) !== values"
# It must be the right picture, and also have been decoded and painted; a reader never sees bytes.
SETTLED = f"""async ([box, values, picture]) => {{
    const now = ({READ})(box);
    if (JSON.stringify(now.values) !== values) return 'moved';
    if (await now.picture !== picture) return '';
    const whole = await box.querySelector('img').decode().then(() => true, () => false);
    await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
    return whole && 'settled';
}}"""

# What is drawn on a canvas: its pixels as 0 and 255 and what is between, row by row.
INK = """canvas => {
    const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    let text = '';
    for (let i = 0; i < pixels.length; i += 4) text += String.fromCharCode(pixels[i]);
    return btoa(text);
}"""

# What it should show, computed by the plain function in the notebook's own kernel.
DRAWN = '''
def _drawn(panel, texts):
    """Return what the function behind a panel draws for values read from a page."""
    import base64
    from matplotlib import pyplot
    from vae_utils.widgets import picture_bytes

    values = dict(panel.values)  # of what is no slider, a drawing say, the kernel's own
    for name, slider in getattr(panel, "sliders", {}).items():
        values[name] = type(slider.value)(texts[slider.description])
    before = pyplot.get_fignums()
    try:
        return base64.b64encode(picture_bytes(panel.draw(**values), panel.scale)).decode()
    finally:
        for number in set(pyplot.get_fignums()) - set(before):
            pyplot.close(number)
'''

# Where a press should lead: the texts beside the sliders, which show as many decimals as their format says.
PLACED = '''
def _placed(panel, across, down):
    """Return the texts of the sliders that a press moves."""
    import io, json
    from PIL import Image

    width, height = Image.open(io.BytesIO(panel.image.value)).size
    texts = {}
    for name, value in (panel.place(across * width, down * height) or {}).items():
        slider = panel.sliders[name]
        texts[slider.description] = format(round(value / slider.step) * slider.step + 0.0, slider.readout_format)
    return json.dumps(texts)
'''
