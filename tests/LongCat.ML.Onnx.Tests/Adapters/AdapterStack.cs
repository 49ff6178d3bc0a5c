using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx.Adapters;
using Microsoft.ML.OnnxRuntime;

namespace LongCat.ML.Onnx.Tests;

/// <summary>Some adapters of one model as the inputs that <see cref="AdapterGraph.Insert"/> makes: side by side, transposed, scales in B, gains and merged matrices from the base.</summary>
internal sealed class AdapterStack
{
    private const string LatentRows = $"{AdapterNames.RowAdapter}.kv_b";
    private readonly List<(string Name, Array Values, long[] Shape)> _values = [];
    private readonly int[] _latent = [];

    /// <param name="checkpoint">The base model.</param>
    /// <param name="adapters">The adapters.</param>
    public AdapterStack(Checkpoint checkpoint, params IReadOnlyList<PeftAdapter> adapters)
    {
        List<AdapterSite> sites = [];
        Dictionary<string, string> starts = [];
        foreach (string module in adapters.SelectMany(adapter => adapter.Modules.Keys).Distinct().Order(StringComparer.Ordinal))
        {
            AdapterMatrix?[] matrices = [.. adapters.Select(adapter => adapter.Modules.GetValueOrDefault(module))];
            int n = (int)checkpoint.Entry($"{module}.weight").Shape[0], k = (int)checkpoint.Entry($"{module}.weight").Shape[1];
            if (module.EndsWith("kv_b_proj", StringComparison.Ordinal))
            {
                // Only those that adapt it: for the others rows say -1.
                sites.Add(new AdapterSite(module) { Rows = LatentRows });
                AdapterMatrix[] merged = [.. matrices.OfType<AdapterMatrix>()];
                _latent = [.. matrices.Select(matrix => matrix is null ? -1 : Array.IndexOf(merged, matrix))];
                _values.Add((AdapterNames.Adapted(module), merged.SelectMany(matrix => Merged(checkpoint, module, matrix)).ToArray(), [merged.Length, n, k]));
                continue;
            }

            int[] start = [0, .. matrices.Select(matrix => matrix?.Rank ?? 0)];
            for (int i = 1; i < start.Length; i++)
            {
                start[i] += start[i - 1];
            }

            string key = string.Join(',', start);
            if (!starts.TryGetValue(key, out string? name))
            {
                starts.Add(key, name = starts.Count == 0 ? AdapterNames.AdapterStart : $"{AdapterNames.AdapterStart}.{starts.Count}");
                _values.Add((name, start, [start.Length]));
            }

            bool gain = matrices.Any(matrix => matrix?.Magnitude is not null);
            sites.Add(new AdapterSite(module) { Gain = gain, Start = name });
            int ranks = start[^1];
            float[] a = new float[k * ranks], b = new float[ranks * n];
            for (int i = 0; i < matrices.Length; i++)
            {
                for (int r = 0; r < (matrices[i]?.Rank ?? 0); r++)
                {
                    for (int x = 0; x < k; x++)
                    {
                        a[(x * ranks) + start[i] + r] = matrices[i]!.A[(r * k) + x];
                    }

                    for (int y = 0; y < n; y++)
                    {
                        b[((start[i] + r) * n) + y] = (float)(matrices[i]!.Scale * matrices[i]!.B[(y * matrices[i]!.Rank) + r]);
                    }
                }
            }

            _values.Add((AdapterNames.A(module), a, [k, ranks]));
            _values.Add((AdapterNames.B(module), b, [ranks, n]));
            if (gain)
            {
                _values.Add((AdapterNames.Gain(module), matrices.SelectMany(matrix => Gains(checkpoint, module, matrix)).ToArray(), [adapters.Count, n]));
            }
        }

        Sites = sites;
    }

    public IReadOnlyList<AdapterSite> Sites { get; }

    /// <summary>Every input, with the adapter of each row.</summary>
    public IEnumerable<(string Name, OrtValue Value)> Inputs(int[] rows)
    {
        yield return (AdapterNames.RowAdapter, OrtValue.CreateTensorValueFromMemory(rows, [rows.Length]));
        if (_latent.Length > 0)
        {
            yield return (LatentRows, OrtValue.CreateTensorValueFromMemory([.. rows.Select(row => row < 0 ? -1 : _latent[row])], [rows.Length]));
        }

        foreach ((string name, Array values, long[] shape) in _values)
        {
            yield return (name, values is int[] integers ? OrtValue.CreateTensorValueFromMemory(integers, shape) : OrtValue.CreateTensorValueFromMemory((float[])values, shape));
        }
    }

    /// <summary>W + scale · B · A, with DoRA's rows scaled to their magnitudes; W alone without an adapter.</summary>
    public static float[] Merged(Checkpoint checkpoint, string module, AdapterMatrix? matrix)
    {
        float[] weight = checkpoint.ReadFloat32($"{module}.weight");
        if (matrix is null)
        {
            return weight;
        }

        for (int y = 0; y < matrix.Out; y++)
        {
            double[] row = Row(weight, matrix, y);
            double factor = matrix.Magnitude is null ? 1 : matrix.Magnitude[y] / Math.Sqrt(row.Sum(value => value * value));
            for (int x = 0; x < matrix.In; x++)
            {
                weight[(y * matrix.In) + x] = (float)(factor * row[x]);
            }
        }

        return weight;
    }

    private static IEnumerable<float> Gains(Checkpoint checkpoint, string module, AdapterMatrix? matrix)
    {
        int n = (int)checkpoint.Entry($"{module}.weight").Shape[0];
        if (matrix?.Magnitude is not { } magnitude)
        {
            return Enumerable.Repeat(1f, n);
        }

        float[] weight = checkpoint.ReadFloat32($"{module}.weight");
        return Enumerable.Range(0, n).Select(y => (float)(magnitude[y] / Math.Sqrt(Row(weight, matrix, y).Sum(value => value * value))));
    }

    private static double[] Row(float[] weight, AdapterMatrix matrix, int y) =>
    [
        .. Enumerable.Range(0, matrix.In).Select(x => weight[(y * matrix.In) + x]
            + (matrix.Scale * Enumerable.Range(0, matrix.Rank).Sum(r => (double)matrix.B[(y * matrix.Rank) + r] * matrix.A[(r * matrix.In) + x]))),
    ];
}
