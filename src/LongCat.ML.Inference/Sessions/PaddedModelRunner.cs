using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Scheduling;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace LongCat.ML.Inference.Sessions;

/// <summary>
/// Runs a graph of standard operators: one row of tokens for each sequence, padded on the right. A page is a slot that holds a whole sequence; past and present
/// are bound to the same memory, so the operators write in place. A step becomes a few runs of the session, see <see cref="PaddedRunPlanner"/>.
/// </summary>
internal sealed unsafe partial class PaddedModelRunner : IModelRunner
{
    private readonly InferenceSession _session;
    private readonly OrtIoBinding _binding;

    // An output once bound cannot be taken out of a binding alone, and a step that gives no hidden states shall not write them.
    private readonly OrtIoBinding _hiddenBinding;
    private readonly RunOptions _runOptions = new();
    private readonly SlotCaches _caches;
    private readonly PaddedRunPlanner _planner;
    private readonly bool _takesPositions;
    private readonly PinnedInput _ids = new();
    private readonly PinnedInput _mask = new();
    private readonly PinnedInput _positions = new();
    private readonly PinnedInput _context = new();
    private readonly PinnedInput _logitsFrom = new();
    private readonly OutputRows _logits;
    private readonly OutputRows _hidden;
    private readonly int[] _logitRow;
    private readonly int[] _hiddenRow;
    private readonly List<OrtValue> _values = [];
    private readonly Lock _abort = new();
    private bool _disposed;

    private PaddedModelRunner(InferenceSession session, ModelManifest manifest, EngineCapacity capacity, EngineOptions options, SlotCaches caches)
    {
        _session = session;
        _caches = caches;
        VocabSize = manifest.VocabSize;
        HiddenSize = manifest.HiddenSize;
        Weights = new WeightPlacement
        {
            Fallback = options.WeightPages == WeightPages.Huge ? "ONNX Runtime packs the matrices of a folder of standard operators into memory of its own" : null,
        };
        _binding = session.CreateIoBinding();
        _hiddenBinding = session.CreateIoBinding();
        _takesPositions = session.InputNames.Contains("position_ids");

        // Grouped-query attention is fused: it holds no scores of all pairs.
        _planner = new PaddedRunPlanner(session.InputNames.Contains("past_key_values.0.value") ? long.MaxValue : 1 << 20);
        _logits = new OutputRows(VocabSize);
        _hidden = new OutputRows(HiddenSize);
        _logitRow = new int[Math.Max(capacity.LogitRows, options.MaxStepTokens)];
        _hiddenRow = new int[options.MaxStepTokens];
    }

    public int VocabSize { get; }

    public int HiddenSize { get; }

    public WeightPlacement Weights { get; }

    /// <summary>The caches, for tests.</summary>
    internal SlotCaches Caches => _caches;

    /// <summary>Runs of the session, so far.</summary>
    internal long Runs { get; private set; }

    public void Run(PackedStep step)
    {
        int[] firstRow = FirstRows(step);
        List<PaddedRun> runs = _planner.Plan(step);
        int[] logitsFrom = [.. runs.Select(run => LogitsFrom(step, run, firstRow))];
        _logits.Begin(runs.Zip(logitsFrom, (run, from) => run.Sequences.Length * (run.Width - from)).Sum());
        _hidden.Begin(step.WantsHidden ? runs.Sum(run => run.Sequences.Length * run.Width) : 0);
        for (int i = 0; i < runs.Count; i++)
        {
            Run(step, runs[i], firstRow, logitsFrom[i]);
        }
    }

    public ReadOnlySpan<float> Logits(int row) => _logits.Row(_logitRow[row]);

    public ReadOnlySpan<float> Hidden(int token) => _hidden.Row(_hiddenRow[token]);

    public void Abort()
    {
        lock (_abort)
        {
            if (!_disposed)
            {
                _runOptions.Terminate = true;
            }
        }
    }

    public void Dispose()
    {
        lock (_abort)
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
            _binding.Dispose();
            _hiddenBinding.Dispose();
            _runOptions.Dispose();
            _session.Dispose();
            _caches.Dispose();
            _logits.Dispose();
            _hidden.Dispose();
        }
    }

    /// <summary>For each sequence the first of its rows of logits; one more for the end.</summary>
    private static int[] FirstRows(PackedStep step)
    {
        int[] first = new int[step.Sequences + 1];
        int row = 0;
        for (int s = 0; s < step.Sequences; s++)
        {
            first[s] = row;
            while (row < step.Rows && step.LogitsIndex[row] < step.QueryStart[s + 1])
            {
                row++;
            }
        }

        first[step.Sequences] = row;
        return first;
    }

    private void Run(PackedStep step, PaddedRun run, int[] firstRow, int logitsFrom)
    {
        int[] pages = [.. run.Sequences.Select(s => step.BlockTable[s * step.Blocks])];
        for (int b = 0; b < pages.Length; b++)
        {
            // Content moves before the run, so the length is the one after the last.
            _caches.SetLength(pages[b], Total(step, run, b) - run.Count[b]);
        }

        int slot = _caches.Gather(pages);
        int[] places = new int[pages.Length];
        for (int b = 0; b < pages.Length; b++)
        {
            places[_caches.SlotOf(pages[b]) - slot] = b;
        }

        OrtIoBinding binding = step.WantsHidden ? _hiddenBinding : _binding;
        try
        {
            BindInputs(binding, step, run, places, logitsFrom);
            int logits = _logits.Take(pages.Length * (run.Width - logitsFrom));
            Bind(binding, "logits", _logits, logits, pages.Length, run.Width - logitsFrom);
            int hidden = 0;
            if (step.WantsHidden)
            {
                hidden = _hidden.Take(pages.Length * run.Width);
                Bind(binding, "hidden_states", _hidden, hidden, pages.Length, run.Width);
            }

            _caches.Bind(binding, slot, pages.Length);
            _session.RunWithBinding(_runOptions, binding);
            Runs++;
            for (int place = 0; place < places.Length; place++)
            {
                int b = places[place];
                Locate(step, run, b, firstRow, logits + (place * (run.Width - logitsFrom)) - logitsFrom, hidden + (place * run.Width));
                _caches.SetLength(pages[b], Total(step, run, b));
            }
        }
        finally
        {
            _caches.Unbind();
            _values.ForEach(value => value.Dispose());
            _values.Clear();
        }
    }

    /// <summary>The first place of the run whose logits somebody wants; the last one where nobody does, so that no tensor is empty.</summary>
    private static int LogitsFrom(PackedStep step, PaddedRun run, int[] firstRow)
    {
        int from = run.Width - 1;
        for (int b = 0; b < run.Sequences.Length; b++)
        {
            int s = run.Sequences[b];
            if (firstRow[s] < firstRow[s + 1])
            {
                from = Math.Min(from, Math.Max(0, (int)step.LogitsIndex[firstRow[s]] - step.QueryStart[s] - run.First));
            }
        }

        return from;
    }

    /// <summary>Remembers where the rows of one sequence lie.</summary>
    private void Locate(PackedStep step, PaddedRun run, int b, int[] firstRow, int logits, int hidden)
    {
        int s = run.Sequences[b];
        for (int row = firstRow[s]; row < firstRow[s + 1]; row++)
        {
            int place = (int)step.LogitsIndex[row] - step.QueryStart[s] - run.First;
            if (place >= 0 && place < run.Count[b])
            {
                _logitRow[row] = logits + place;
            }
        }

        for (int i = 0; i < run.Count[b]; i++)
        {
            _hiddenRow[step.QueryStart[s] + run.First + i] = hidden + i;
        }
    }

    private static int Total(PackedStep step, PaddedRun run, int b)
    {
        int s = run.Sequences[b];
        return (int)step.PositionIds[step.QueryStart[s]] + run.First + run.Count[b];
    }

    private void BindInputs(OrtIoBinding binding, PackedStep step, PaddedRun run, int[] places, int logitsFrom)
    {
        int batch = places.Length;
        int total = Enumerable.Range(0, batch).Max(b => Total(step, run, b));
        Span<long> ids = _ids.Take(batch * run.Width);
        Span<long> positions = _positions.Take(batch * run.Width);
        Span<long> mask = _mask.Take(batch * total);
        Span<long> context = _context.Take(batch * step.NgramContextLength);
        ids.Clear();
        mask.Clear();
        for (int place = 0; place < batch; place++)
        {
            int b = places[place];
            int token = step.QueryStart[run.Sequences[b]] + run.First;
            long position = step.PositionIds[token];
            step.InputIds.AsSpan(token, run.Count[b]).CopyTo(ids[(place * run.Width)..]);
            mask.Slice(place * total, Total(step, run, b)).Fill(1);
            for (int i = 0; i < run.Width; i++)
            {
                // Padding behind the longest cache would be written outside it; its content is never read.
                positions[(place * run.Width) + i] = Math.Min(position + i, _caches.Longest - 1);
            }

            Context(step, run.Sequences[b], run.First, context.Slice(place * step.NgramContextLength, step.NgramContextLength));
        }

        _logitsFrom.Take(1)[0] = logitsFrom;
        Bind(binding, "input_ids", _ids, batch, run.Width);
        Bind(binding, "attention_mask", _mask, batch, total);
        Bind(binding, "logits_from", _logitsFrom, 1);
        if (_takesPositions)
        {
            Bind(binding, "position_ids", _positions, batch, run.Width);
        }

        if (step.NgramContextLength > 0)
        {
            Bind(binding, "ngram_context", _context, batch, step.NgramContextLength);
        }
    }

    /// <summary>The tokens before the run's: the step's own context, and tokens of the step that an earlier run computed.</summary>
    private static void Context(PackedStep step, int s, int first, Span<long> context)
    {
        for (int k = 0; k < context.Length; k++)
        {
            int back = first - context.Length + k;
            context[k] = back >= 0 ? step.InputIds[step.QueryStart[s] + back] : step.NgramContext[(s * context.Length) + context.Length + back];
        }
    }

    private void Bind(OrtIoBinding binding, string name, PinnedInput input, params ReadOnlySpan<long> shape)
    {
        OrtValue value = OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, TensorElementType.Int64, shape.ToArray(), input.Pointer, input.Bytes);
        _values.Add(value);
        binding.BindInput(name, value);
    }

    private void Bind(OrtIoBinding binding, string name, OutputRows rows, int first, int batch, int count)
    {
        OrtValue value = OrtValue.CreateTensorValueWithData(
            OrtMemoryInfo.DefaultInstance, TensorElementType.Float, [batch, count, rows.Width], rows.Pointer(first), (long)batch * count * rows.Width * sizeof(float));
        _values.Add(value);
        binding.BindOutput(name, value);
    }
}
