using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Sessions;
using Microsoft.ML.OnnxRuntime;

namespace LongCat.ML.Inference.Tests.Calibration;

/// <summary>Runs a probe graph one whole sequence at a time with nothing of the calibrator: what its statistics are held against.</summary>
internal sealed class PlainProbe : IDisposable
{
    private readonly ModelManifest _manifest;
    private readonly InferenceSession _session;

    public PlainProbe(string folder)
    {
        _manifest = ModelManifest.Read(folder);
        using SessionOptions options = new() { IntraOpNumThreads = 1 };
        OrtModelRunner.Configure(options);
        _session = new InferenceSession(Path.Combine(folder, ModelManifest.ModelFileName), options);
    }

    /// <summary>The rows of an output, float or int32 as float, for each sequence.</summary>
    public List<float[]> Read(string output, IEnumerable<int[]> sequences) => [.. sequences.Select(ids => Read(output, ids))];

    public void Dispose() => _session.Dispose();

    private float[] Read(string output, int[] ids)
    {
        const int Page = 8;
        int pages = (ids.Length + Page - 1) / Page;
        List<(string Name, OrtValue Value)> inputs =
        [
            ("input_ids", Tensor(ids.Select(id => (long)id).ToArray(), ids.Length)),
            ("position_ids", Tensor(Enumerable.Range(0, ids.Length).Select(i => (long)i).ToArray(), ids.Length)),
            ("query_start", Tensor<int>([0, ids.Length], 2)),
            ("context_length", Tensor<int>([ids.Length], 1)),
            ("block_table", Tensor(Enumerable.Range(0, pages).ToArray(), 1, pages)),
            ("logits_index", Tensor<long>([0], 1)),
        ];
        if (_manifest.Streaming is not null)
        {
            inputs.Add(("streaming_block_table", Tensor(Enumerable.Range(0, pages).ToArray(), 1, pages)));
        }

        if (_manifest.NgramNeighbors > 0)
        {
            inputs.Add(("ngram_context", Tensor(Enumerable.Repeat(-1L, _manifest.NgramNeighbors - 1).ToArray(), 1, _manifest.NgramNeighbors - 1)));
        }

        for (int i = 0; i < _manifest.Caches.Count; i++)
        {
            inputs.Add(($"cache.{i}", Tensor(new float[pages * Page * _manifest.Caches[i].Width], pages, Page, _manifest.Caches[i].Width)));
        }

        using RunOptions options = new();
        using IDisposableReadOnlyCollection<OrtValue> values = _session.Run(options, [.. inputs.Select(input => input.Name)], [.. inputs.Select(input => input.Value)], [output]);
        float[] read = output.EndsWith(".selected", StringComparison.Ordinal)
            ? [.. values[0].GetTensorDataAsSpan<int>().ToArray().Select(value => (float)value)]
            : values[0].GetTensorDataAsSpan<float>().ToArray();
        inputs.ForEach(input => input.Value.Dispose());
        return read;
    }

    private static OrtValue Tensor<T>(T[] values, params long[] shape)
        where T : unmanaged => OrtValue.CreateTensorValueFromMemory(values, shape);
}
