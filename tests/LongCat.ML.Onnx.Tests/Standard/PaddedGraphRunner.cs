using LongCat.ML.Checkpoints;
using Microsoft.ML.OnnxRuntime;

namespace LongCat.ML.Onnx.Tests;

/// <summary>
/// Runs a graph of standard operators with a plain InferenceSession, without the operator library and without the engine: a fixed batch, rows padded on the
/// right, caches either written in place or handed on from output to input.
/// </summary>
internal sealed class PaddedGraphRunner : IDisposable
{
    private readonly ModelManifest _manifest;
    private readonly InferenceSession _session;
    private readonly bool _inPlace;
    private readonly List<long>[] _tokens;
    private readonly Dictionary<string, (float[] Data, long[] Shape)> _caches = [];

    public PaddedGraphRunner(string folder, int batch, bool inPlace = true, int longest = 128)
    {
        _manifest = ModelManifest.Read(folder);
        using SessionOptions options = new() { IntraOpNumThreads = 2 };
        _session = new InferenceSession(Path.Combine(folder, ModelManifest.ModelFileName), options);
        _inPlace = inPlace;
        _tokens = [.. Enumerable.Range(0, batch).Select(_ => new List<long>())];
        foreach (string name in _session.InputNames.Where(name => name.StartsWith("past_key_values.", StringComparison.Ordinal)))
        {
            int[] dimensions = _session.InputMetadata[name].Dimensions;
            long[] shape = [batch, dimensions[1], longest, dimensions[3]];
            _caches.Add(name["past_key_values.".Length..], (new float[shape.Aggregate((x, y) => x * y)], shape));
        }
    }

    public int VocabSize => _manifest.VocabSize;

    public IReadOnlyList<string> InputNames => _session.InputNames;

    /// <summary>An adapter of ONNX Runtime's that every run is given, or null.</summary>
    public OrtLoraAdapter? Lora { get; init; }

    public void Dispose() => _session.Dispose();

    /// <summary>One step: row b gets the tokens <paramref name="added"/>[b], at least one each.</summary>
    /// <returns>For each row the logits of its tokens from <paramref name="logitsFrom"/> on, without those of the padding.</returns>
    public float[][] Run(long[][] added, int? logitsFrom = null)
    {
        int batch = added.Length;
        int sequence = added.Max(row => row.Length);
        int first = logitsFrom ?? 0;
        int before = Math.Max(0, _manifest.NgramNeighbors - 1);
        List<long> context = [];
        List<long> positions = [];
        for (int b = 0; b < batch; b++)
        {
            int length = _tokens[b].Count;
            for (int back = before; back >= 1; back--)
            {
                context.Add(length - back >= 0 ? _tokens[b][length - back] : -1);
            }

            positions.AddRange(Enumerable.Range(length, sequence).Select(p => (long)p));
            _tokens[b].AddRange(added[b]);
        }

        int total = _tokens.Max(row => row.Count);
        long[] ids = [.. added.SelectMany(row => row.Concat(Enumerable.Repeat(0L, sequence - row.Length)))];
        long[] mask = [.. _tokens.SelectMany(row => Enumerable.Range(0, total).Select(t => t < row.Count ? 1L : 0L))];
        List<(string Name, OrtValue Value)> inputs =
        [
            ("input_ids", OrtValue.CreateTensorValueFromMemory(ids, [batch, sequence])),
            ("attention_mask", OrtValue.CreateTensorValueFromMemory(mask, [batch, total])),
        ];
        if (_session.InputNames.Contains("position_ids"))
        {
            inputs.Add(("position_ids", OrtValue.CreateTensorValueFromMemory(positions.ToArray(), [batch, sequence])));
        }

        if (before > 0)
        {
            inputs.Add(("ngram_context", OrtValue.CreateTensorValueFromMemory(context.ToArray(), [batch, before])));
        }

        if (logitsFrom is not null)
        {
            inputs.Add(("logits_from", OrtValue.CreateTensorValueFromMemory(new long[] { first }, [1])));
        }

        float[] logits = new float[batch * (sequence - first) * VocabSize];
        List<(string Name, OrtValue Value)> outputs = [("logits", OrtValue.CreateTensorValueFromMemory(logits, [batch, sequence - first, VocabSize]))];
        foreach ((string name, (float[] data, long[] shape)) in _caches.ToArray())
        {
            float[] result = _inPlace ? data : new float[data.Length];
            inputs.Add(("past_key_values." + name, OrtValue.CreateTensorValueFromMemory(data, shape)));
            outputs.Add(("present." + name, OrtValue.CreateTensorValueFromMemory(result, shape)));
            _caches[name] = (result, shape);
        }

        try
        {
            using RunOptions options = new();
            if (Lora is not null)
            {
                options.AddActiveLoraAdapter(Lora);
            }

            _session.Run(options, [.. inputs.Select(x => x.Name)], [.. inputs.Select(x => x.Value)], [.. outputs.Select(x => x.Name)], [.. outputs.Select(x => x.Value)]);
        }
        finally
        {
            inputs.ForEach(x => x.Value.Dispose());
            outputs.ForEach(x => x.Value.Dispose());
        }

        return [.. added.Select((row, b) =>
            logits.AsSpan(b * (sequence - first) * VocabSize, Math.Max(0, row.Length - first) * VocabSize).ToArray())];
    }
}
