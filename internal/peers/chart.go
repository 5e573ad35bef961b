package main

import (
	"bytes"
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// charted are the rows that the chart shows, each by one of its tables.
var charted = []struct {
	id, what string
	table    *table
}{
	{"waits/1", "Round trips, 1 recipient", roundTrips},
	{"waits/100", "Round trips, 100 recipients", roundTrips},
	{"waits/session", "Round trips, each of 100 mails over one session", roundTrips},
	{"waits/dial", "Round trips, from the dial, with STARTTLS and AUTH", roundTrips},
	{"costs/1", "CPU time, a small mail", cpuTimes},
	{"costs/100", "CPU time, 100 recipients", cpuTimes},
	{"file/send", "CPU time, a file of 25 MiB, built and sent", cpuTimes},
	{"file/build", "CPU time, a file of 25 MiB, built only", cpuTimes},
	{"memory/25MiB", "Peak memory, a file of 25 MiB, built and sent", peaks},
}

// Of the colours, each can be read on white and on black.
var (
	grey    = color.NRGBA{0x7c, 0x7c, 0x7c, 0xff}
	faint   = color.NRGBA{0x7c, 0x7c, 0x7c, 0x60}
	colours = []color.Color{
		color.NRGBA{0x3b, 0x82, 0xd6, 0xff}, color.NRGBA{0xc9, 0x7b, 0x1a, 0xff}, color.NRGBA{0x2f, 0x94, 0x61, 0xff},
		color.NRGBA{0x9a, 0x6a, 0xd0, 0xff}, color.NRGBA{0xd0, 0x55, 0x63, 0xff},
	}
)

// chart draws what the others take as a multiple of what Postrider takes: bars that begin
// at 1, on a logarithmic scale.
type chart struct {
	*plot.Plot
	line float64 // where the next one is drawn, from above
	left []label // what stands at the left edge, wherever that will be
}

type label struct {
	line float64
	text string
	size vg.Length
}

func (r *report) chart() ([]byte, error) {
	c := &chart{Plot: plot.New()}
	c.X.Min, c.X.Max = 0.5, 2
	for _, g := range charted {
		if err := c.group(r, g.id, g.what, g.table); err != nil {
			return nil, err
		}
	}
	if err := c.finish(); err != nil {
		return nil, err
	}
	return c.svg(13 * vg.Length(-c.line+4))
}

// group adds the bars of a row, under a line that says what they are.
func (c *chart) group(r *report, id, what string, t *table) error {
	of, err := rowOf(id)
	if err != nil {
		return err
	}
	cells := t.cells(of, r.Results)
	own, ok := cells[postrider.name]
	if !ok || own <= 0 {
		return nil
	}
	c.left = append(c.left, label{c.line, fmt.Sprintf("%s: Postrider takes %s", what, t.format(own)), 9})
	c.line--
	top := c.line
	for i, p := range others {
		value, ok := cells[p.name]
		if !ok {
			continue
		}
		if err := c.bar(p.name, value/own, t.format(value), colours[i]); err != nil {
			return err
		}
	}
	one, err := plotter.NewLine(plotter.XYs{{X: 1, Y: top + 0.5}, {X: 1, Y: c.line + 0.5}})
	if err != nil {
		return err
	}
	one.Color, one.Width = grey, 1
	c.Add(one)
	c.line -= 0.6
	return nil
}

func rowOf(id string) (row, error) {
	for _, r := range rows() {
		if r.id == id {
			return r, nil
		}
	}
	return row{}, fmt.Errorf("there is no row %q", id)
}

// bar goes from 1 to the ratio, to the left where Postrider takes more.
func (c *chart) bar(name string, ratio float64, value string, colour color.Color) error {
	const half = 0.36 // of its height
	box, err := plotter.NewPolygon(plotter.XYs{
		{X: 1, Y: c.line - half}, {X: ratio, Y: c.line - half}, {X: ratio, Y: c.line + half}, {X: 1, Y: c.line + half},
	})
	if err != nil {
		return err
	}
	box.Color, box.LineStyle.Width = colour, 0
	c.Add(box)
	c.X.Min, c.X.Max = math.Min(c.X.Min, ratio*0.8), math.Max(c.X.Max, ratio*3)
	c.left = append(c.left, label{c.line, name, 8})
	err = c.write(math.Max(ratio, 1), label{c.line, fmt.Sprintf("%s (%s)", times(ratio), value), 8})
	c.line--
	return err
}

// write writes to the right of x: what begins there fits, whatever the font.
func (c *chart) write(x float64, l label) error {
	labels, err := plotter.NewLabels(plotter.XYLabels{XYs: plotter.XYs{{X: x, Y: l.line}}, Labels: []string{l.text}})
	if err != nil {
		return err
	}
	labels.TextStyle[0] = style(l.size)
	labels.Offset.X = 3
	c.Add(labels)
	return nil
}

func style(size vg.Length) text.Style {
	return text.Style{
		Color: grey, Font: font.From(font.Font{Typeface: "Liberation", Variant: "Sans"}, size),
		YAlign: draw.YCenter, Handler: plot.DefaultTextHandler,
	}
}

// finish draws what is around the bars.
func (c *chart) finish() error {
	c.BackgroundColor = nil
	c.Title.Text = "What others take, as a multiple of Postrider: shorter is better; left of the line, they take less"
	c.Title.TextStyle = style(10)
	c.Title.TextStyle.XAlign, c.Title.TextStyle.YAlign = draw.XCenter, draw.YTop
	c.Title.Padding = 6
	scale := c.scale()
	c.X.Min /= math.Pow(c.X.Max/c.X.Min, 0.26) // Room for the names.
	for _, l := range c.left {
		if err := c.write(c.X.Min, l); err != nil {
			return err
		}
	}
	c.Y.Min, c.Y.Max = c.line, 0.7
	c.Y.Tick.Marker = plot.ConstantTicks(nil)
	c.X.Scale, c.X.Tick.Marker = plot.LogScale{}, plot.ConstantTicks(scale)
	for _, axis := range []*plot.Axis{&c.X, &c.Y} {
		axis.Color, axis.Tick.Color, axis.Tick.Label.Color = faint, faint, grey
		axis.Tick.Label.Font = style(8).Font
	}
	c.X.LineStyle.Width, c.Y.LineStyle.Width, c.Y.Tick.Length, c.Y.Padding = 0, 0, 0, 0
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = faint, color.Transparent
	grid.Vertical.Width, grid.Horizontal.Width = 0.4, 0
	c.Add(grid)
	return nil
}

// scale has the multiples that are written below.
func (c *chart) scale() []plot.Tick {
	var ticks []plot.Tick
	for decade := 0.1; decade <= c.X.Max; decade *= 10 {
		for _, digit := range []float64{1, 2, 5} {
			if x := decade * digit; x >= c.X.Min && x <= c.X.Max {
				ticks = append(ticks, plot.Tick{Value: x, Label: fmt.Sprintf("%.3g", x)})
			}
		}
	}
	return ticks
}

func (c *chart) svg(height vg.Length) ([]byte, error) {
	canvas := vgsvg.New(640, height)
	c.Draw(draw.Crop(draw.New(canvas), 4, -10, 4, -4))
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return nil, err
	}
	// Where its font is not installed, any other without serifs does.
	return bytes.ReplaceAll(b.Bytes(), []byte("font-family:Liberation Sans"), []byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif")), nil
}
