using LongCat.ML.Onnx;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Native.Tests;

internal static partial class FuzzCases
{
    public static FuzzCase SparseGatedMlp(Random random)
    {
        int hidden = random.Next(1, 50), inner = random.Next(1, 90), m = Size(random, 12), padded = (hidden + 15) / 16 * 16;
        bool threeDimensions = random.Next(2) == 0;
        long[] leading = threeDimensions ? [m, 2] : [m];
        int rows = threeDimensions ? 2 * m : m;
        float scale = random.Next(3) == 0 ? 2 : 0.12f;
        Feed up = Weights(random, "up", inner, hidden), down = Same(up, random, "down", hidden, inner);
        Feed?[] inputs =
        [
            new("x", random.Floats(rows * hidden), [.. leading, hidden]), new("activation", random.Floats(rows * inner).Select(value => value * scale).ToArray(), [.. leading, inner]),
            InPanels(up), InPanels(down), ByChannel(up, "up_channels", columns: false), ByChannel(down, "down_channels", columns: true),
            random.Next(2) == 0 ? new("up_bias", random.Floats(inner), inner) : null, random.Next(2) == 0 ? new("down_bias", random.Floats(hidden), hidden) : null,
            random.Next(2) == 0 ? new("residual", random.Floats(rows * hidden), [.. leading, hidden]) : null,
            Marks(random, rows), new("tau", new[] { random.Next(4) == 0 ? 0 : 0.1f }, 1),
        ];
        List<Spoiling> spoilings =
        [
            Resize("x", hidden + 1, "input 0 (x)", axis: leading.Length), Rank("activation", "input 1 (activation)"), Resize("activation", inner + 1, "input 1 (activation)", axis: leading.Length),
            Type("up", "input 2 (up)"), Rank("up", "input 2 (up)"), Type("down", "input 3 (down)"), Rank("down", "input 3 (down)"),
            Resize("up_channels", inner + 1, padded, "input 4 (up_channels)"), Resize("up_channels", inner, padded + 16, "input 4 (up_channels)"),
            Resize("down_channels", inner, padded + 1, "input 5 (down_channels)"), Type("down_channels", "input 5 (down_channels)"),
            Resize("sparse_rows", rows + 1, "input 9 (sparse_rows)"), Resize("tau", 2, "input 10 (tau)"), Rank("tau", "input 10 (tau)"),
            new("input 10 (tau) is ", fuzz => Change(fuzz, "tau", old => new Feed("tau", new[] { float.NaN }, 1))),
            new("input 10 (tau) is -1", fuzz => Change(fuzz, "tau", old => new Feed("tau", new[] { -1f }, 1))),
            new("two types", fuzz => Change(fuzz, "down", old => Sized(InPanels(Other(down)), InPanels(Other(down)).Shape))),
        ];
        spoilings.AddRange(inputs[6] is null ? [] : [Resize("up_bias", inner + 1, "input 6 (up_bias)")]);
        spoilings.AddRange(inputs[7] is null ? [] : [Rank("down_bias", "input 7 (down_bias)")]);
        spoilings.AddRange(inputs[8] is null ? [] : [Resize("residual", hidden + 1, "input 8 (residual)", axis: leading.Length)]);
        return new FuzzCase(
            "SparseGatedMlp", inputs, [("y", ElementType.Float)], [NodeAttribute.Int("hidden_size", hidden), NodeAttribute.Int("intermediate_size", inner)],
            [.. spoilings], $"[{string.Join(", ", leading)}, {hidden}], inner {inner}, {up.Type}");
    }

    /// <summary>A matrix by channel: its rows or its columns, each with zeros up to a multiple of 16 elements.</summary>
    public static Feed ByChannel(Feed rows, string name, bool columns)
    {
        (int n, int k) = ((int)rows.Shape[0], (int)rows.Shape[1]);
        (int channels, int hidden) = columns ? (k, n) : (n, k);
        int stride = (hidden + 15) / 16 * 16;
        Array data = Array.CreateInstance(rows.Data.GetType().GetElementType()!, channels * stride);
        for (int i = 0; i < channels; i++)
        {
            for (int j = 0; j < hidden; j++)
            {
                data.SetValue(rows.Data.GetValue(columns ? (j * k) + i : (i * k) + j), (i * stride) + j);
            }
        }

        return new Feed(name, data, channels, stride);
    }

    /// <summary>The inputs of a mixture that say what marked rows skip, in half the cases; -1 without them, else the row of the betas.</summary>
    private static (Feed?[] Inputs, int Layer) WithSkippedExperts(Random random, Feed?[] inputs, int tokens, int top, List<Spoiling> spoilings)
    {
        const int First = 22;
        if (random.Next(2) == 0)
        {
            return (inputs, -1);
        }

        int layers = random.Next(1, 4), layer = random.Next(layers);
        Feed betas = new("sparse_expert_betas", random.Floats(layers * (top - 1)).Select(MathF.Abs).ToArray(), layers, top - 1);
        Feed?[] all = [.. inputs, .. new Feed?[First - inputs.Length], Marks(random, tokens), new("sparse_experts", new[] { random.Next(top) }, 1), betas];
        spoilings.AddRange(
        [
            Resize("sparse_rows", tokens + 1, "input 22 (sparse_rows)"), Rank("sparse_rows", "input 22 (sparse_rows)"), Resize("sparse_experts", 2, "input 23 (sparse_experts)"),
            Value("sparse_experts", 0, -1, "input 23 (sparse_experts) is -1"), Value("sparse_experts", 0, top, "input 23 (sparse_experts)"),
            Resize("sparse_expert_betas", layer, top - 1, "input 24 (sparse_expert_betas)"), Resize("sparse_expert_betas", layers, top, "input 24 (sparse_expert_betas)"),
        ]);
        if (top > 1)
        {
            spoilings.Add(new("beta 1 is nan", fuzz => Change(fuzz, betas.Name, old => new Feed(old.Name, Enumerable.Repeat(float.NaN, old.Data.Length).ToArray(), old.Shape))));
        }

        return (all, layer);
    }

    private static Feed Marks(Random random, int rows)
    {
        int kind = random.Next(3);
        return new Feed("sparse_rows", Enumerable.Range(0, rows).Select(_ => kind < 2 ? (byte)kind : (byte)random.Next(2)).ToArray(), rows);
    }

    private static Feed Same(Feed like, Random random, string name, params long[] shape)
    {
        float[] values = random.Floats(shape[0] * shape[1]);
        return new Feed(name, like.Data is float[] ? values : Halves(values), shape);
    }

    private static Feed Other(Feed feed) => new(feed.Name, feed.Data is float[] floats ? Halves(floats) : new float[feed.Data.Length], feed.Shape);
}
