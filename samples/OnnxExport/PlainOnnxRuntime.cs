using LongCat.ML.Checkpoints;
using LongCat.ML.Native;
using Microsoft.ML.OnnxRuntime;

namespace OnnxExport;

/// <summary>
/// An exported model in ONNX Runtime without our engine: a session, the library with the longcat operators, and the graph's inputs made by hand for a single sequence.
/// </summary>
internal sealed class PlainOnnxRuntime : IDisposable
{
    private const int PageSize = 16;

    private readonly InferenceSession session;
    private readonly RunOptions runOptions = new();
    private readonly ModelManifest manifest;
    private readonly int pages;
    private readonly OrtValue[] caches;
    private readonly float[] logits;

    public PlainOnnxRuntime(string folder, int maxTokens)
    {
        manifest = ModelManifest.Read(folder);
        using SessionOptions options = new();
        options.RegisterCustomOpLibraryV2(NativeLibraryLocator.Find(), out _);
        session = new InferenceSession(Path.Combine(folder, ModelManifest.ModelFileName), options);
        pages = (maxTokens + PageSize - 1) / PageSize;
        logits = new float[manifest.VocabSize];
        caches = [.. manifest.Caches.Select(cache =>
            OrtValue.CreateTensorValueFromMemory(new float[pages * PageSize * cache.Width], [pages, PageSize, cache.Width]))];
    }

    public IEnumerable<string> Inputs => Describe(session.InputMetadata);

    public IEnumerable<string> Outputs => Describe(session.OutputMetadata);

    /// <summary>Completes a prompt greedily: the first step computes the whole prompt, each later one a single token.</summary>
    public List<int> Complete(IReadOnlyList<int> prompt, int newTokens)
    {
        List<int> ids = [.. prompt];
        int computed = 0;
        while (ids.Count < prompt.Count + newTokens)
        {
            Step(ids, computed);
            computed = ids.Count;
            int next = Greedy(logits);
            ids.Add(next);
            if (manifest.EosTokenIds.Contains(next))
            {
                break;
            }
        }

        return ids[prompt.Count..];
    }

    public void Dispose()
    {
        foreach (OrtValue cache in caches)
        {
            cache.Dispose();
        }

        runOptions.Dispose();
        session.Dispose();
    }

    /// <summary>Computes the tokens from <paramref name="first"/> on; afterwards <see cref="logits"/> are those that follow the last one.</summary>
    private void Step(List<int> ids, int first)
    {
        int count = ids.Count - first;
        Dictionary<string, OrtValue> inputs = new()
        {
            ["input_ids"] = Tensor([.. ids.Skip(first).Select(id => (long)id)], count),
            ["position_ids"] = Tensor([.. Enumerable.Range(first, count).Select(position => (long)position)], count),
            ["query_start"] = Tensor([0, count], 2),
            ["context_length"] = Tensor([ids.Count], 1),
            ["block_table"] = Tensor([.. Enumerable.Range(0, pages)], 1, pages),
            ["logits_index"] = Tensor([(long)(count - 1)], 1),
        };
        if (manifest.NgramNeighbors > 1)
        {
            // The tokens before this step, oldest first, -1 where there is none.
            int context = manifest.NgramNeighbors - 1;
            inputs["ngram_context"] = Tensor([.. Enumerable.Range(first - context, context).Select(position => position < 0 ? -1L : ids[position])], 1, context);
        }

        // The caches go in and come out as the same memory, so the operators write the new tokens' entries in place.
        Dictionary<string, OrtValue> outputs = new() { ["logits"] = Tensor(logits, 1, logits.Length) };
        OrtValue[] ours = [.. inputs.Values, .. outputs.Values];
        for (int i = 0; i < caches.Length; i++)
        {
            inputs[$"cache.{i}"] = caches[i];
            outputs[$"cache_out.{i}"] = caches[i];
        }

        try
        {
            session.Run(runOptions, inputs.Keys, inputs.Values, outputs.Keys, outputs.Values);
        }
        finally
        {
            Array.ForEach(ours, value => value.Dispose());
        }
    }

    private static OrtValue Tensor<T>(T[] values, params long[] shape)
        where T : unmanaged => OrtValue.CreateTensorValueFromMemory(values, shape);

    private static int Greedy(float[] values) => Array.IndexOf(values, values.Max());

    private static IEnumerable<string> Describe(IReadOnlyDictionary<string, NodeMetadata> values) =>
        values.Select(entry => $"{entry.Key}: {entry.Value.ElementDataType} [{string.Join(", ", entry.Value.Dimensions.Zip(entry.Value.SymbolicDimensions, (size, name) => size >= 0 ? $"{size}" : name))}]");
}
