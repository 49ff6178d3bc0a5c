using System.Diagnostics;
using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Paging;
using LongCat.ML.Inference.Sampling;
using LongCat.ML.Inference.Scheduling;
using LongCat.ML.Inference.Sessions;
using LongCat.ML.Inference.Speculation;
using Microsoft.ML.OnnxRuntime;

namespace LongCat.ML.Inference.Calibration;

/// <summary>
/// Says what sparse verification of a model changes and saves: rounds all along texts, each verified exactly and sparsely over the same exact context, so that one way of verifying does not inherit the errors of another and
/// a long context is read only once for all of them.
/// </summary>
/// <remarks>Thread safety: static and without state. Times are those of one request alone.</remarks>
public static class SparseEvaluator
{
    private const int PageSize = 16, StepTokens = 512;

    /// <summary>Compares ways of verifying.</summary>
    /// <param name="folder">A folder that was exported for sparse verification.</param>
    /// <param name="sequences">Token ids; each sequence begins at position 0. Those too short for a round are passed over.</param>
    /// <param name="verifications">What may be left out; the folder's calibration serves those that name none.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="progress">Told after every round, on this thread; null for none.</param>
    /// <param name="cancellationToken">Ends the comparison, a running step included.</param>
    /// <returns>One comparison for each of <paramref name="verifications"/>, in their order.</returns>
    /// <exception cref="CheckpointException">The folder is no exported model.</exception>
    /// <exception cref="InferenceException">The model was not exported for it, a value or a sequence does not go with the model, or no sequence is long enough for a round.</exception>
    /// <exception cref="ArgumentException">An option is outside its range, or there is nothing to compare.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static IReadOnlyList<SparseComparison> Compare(
        string folder,
        IReadOnlyList<IReadOnlyList<int>> sequences,
        IReadOnlyList<SparseVerification> verifications,
        SparseEvaluationOptions? options = null,
        IProgress<CalibrationProgress>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        ArgumentNullException.ThrowIfNull(sequences);
        ArgumentNullException.ThrowIfNull(verifications);
        options ??= new SparseEvaluationOptions();
        options.Check();
        ModelManifest manifest = ModelManifest.Read(folder);
        Calibrator.Check(sequences, manifest);
        EngineOptions engine = new() { Threads = options.Threads, PageSize = PageSize, MaxStepTokens = StepTokens, MaxSequences = 1 };
        SparseVerification[] complete = [.. verifications.Select(verification =>
        {
            EngineOptions wanted = engine with { Speculation = new SpeculativeOptions { Verification = verification } };
            wanted.Check();
            return SparseSetup.Complete(folder, manifest, wanted).Speculation!.Verification!;
        })];
        int rows = options.DraftTokens + 1, longest = sequences.Max(sequence => sequence.Count), pages = ((longest + options.DraftTokens) / PageSize) + 1;
        if (complete.Length == 0 || longest <= options.First + rows)
        {
            throw new ArgumentException(
                complete.Length == 0
                    ? "there is no way of verifying to compare, expected one at least"
                    : $"the longest of {sequences.Count} sequences has {longest} tokens; a round that begins at position {options.First} with {options.DraftTokens} proposed tokens needs {options.First + rows + 1}",
                complete.Length == 0 ? nameof(verifications) : nameof(sequences));
        }

        using OrtModelRunner runner = OrtModelRunner.Open(folder, manifest, engine, new EngineCapacity(pages, pages, rows, pages, StreamingPattern.Of(manifest, PageSize)));
        PackedStep step = new(StepTokens, 1, pages, PageSize, manifest.NgramNeighbors, StreamingPattern.Of(manifest, PageSize), full: Enumerable.Range(0, manifest.Caches.Count).Any(cache => !StreamingPattern.IsStreaming(manifest, cache)));
        Comparison comparison = new(runner, step, complete, rows, pages, cancellationToken);
        long tokens = sequences.Sum(sequence => (long)sequence.Count), before = 0;
        foreach (IReadOnlyList<int> sequence in sequences)
        {
            comparison.Begin();
            for (int position = options.First; position + rows < sequence.Count; position += options.Stride)
            {
                comparison.Round(sequence, position);
                progress?.Report(new CalibrationProgress(before + position, tokens, 1, 1));
            }

            before += sequence.Count;
        }

        return comparison.Complete();
    }

    /// <summary>The model, the text that it reads, and what came of it.</summary>
    private sealed class Comparison(OrtModelRunner runner, PackedStep step, SparseVerification[] verifications, int rows, int pages, CancellationToken cancellationToken)
    {
        private readonly SparseTally[] _tallies = [.. verifications.Select(_ => new SparseTally())];
        private readonly SparseTally _exact = new();
        private readonly float[] _logits = new float[rows * runner.VocabSize];
        private readonly float[] _sparse = new float[rows * runner.VocabSize];
        private int _computed;

        public void Begin() => _computed = 0;

        public void Round(IReadOnlyList<int> text, int position)
        {
            EvaluationSequence sequence = new(text, pages);
            while (_computed < position)
            {
                int count = Math.Min(StepTokens, position - _computed);
                sequence.Row = position;
                Run(new StepEntry(sequence, _computed, count));
                _computed += count;
            }

            int[] next = [.. Enumerable.Range(position + 1, rows).Select(i => text[i])];
            Both(sequence, position, (tally, logits) => tally.AddText(_logits, logits, next));

            // The same with what the model itself would write.
            EvaluationSequence own = new([.. text.Take(position + 1)], pages);
            int[] drafts = new int[rows - 1];
            for (int i = 0; i < drafts.Length; i++)
            {
                own.Row = position + i;
                Run(new StepEntry(own, position + i, 1));
                drafts[i] = Sampler.Greedy(runner.Logits(0), position + i);
                own.Tokens.Add(drafts[i]);
            }

            Both(own, position, (tally, logits) => tally.AddDrafts(logits, drafts));
        }

        public IReadOnlyList<SparseComparison> Complete() => [.. _tallies.Select((tally, i) => tally.Complete(verifications[i], _exact.Median()))];

        /// <summary>Verifies exactly, then in every sparse way; each writes the round's keys and values anew before it reads them, and the next prompt tokens do so once more.</summary>
        private void Both(EvaluationSequence sequence, int position, Action<SparseTally, float[]> add)
        {
            sequence.Row = position;
            _exact.AddTime(Run(new StepEntry(sequence, position, rows)));
            Copy(_logits);
            for (int i = 0; i < verifications.Length; i++)
            {
                runner.SetSparse(verifications[i]);
                _tallies[i].AddTime(Run(new StepEntry(sequence, position, rows, Sparse: true)));
                Copy(_sparse);
                add(_tallies[i], _sparse);
            }
        }

        private double Run(StepEntry entry)
        {
            cancellationToken.ThrowIfCancellationRequested();
            step.Fill([entry]);
            using CancellationTokenRegistration registration = cancellationToken.Register(runner.Abort);
            try
            {
                long start = Stopwatch.GetTimestamp();
                runner.Run(step);
                return Stopwatch.GetElapsedTime(start).TotalMilliseconds;
            }
            catch (OnnxRuntimeException exception)
            {
                cancellationToken.ThrowIfCancellationRequested();
                throw new InferenceException($"a step over positions {entry.Start}..{entry.Start + entry.Count - 1} failed: {exception.Message}", exception);
            }
        }

        private void Copy(float[] to)
        {
            for (int row = 0; row < rows; row++)
            {
                runner.Logits(row).CopyTo(to.AsSpan(row * runner.VocabSize));
            }
        }
    }

    /// <summary>A text whose rows are wanted from one position on.</summary>
    private sealed class EvaluationSequence : Sequence
    {
        public EvaluationSequence(IReadOnlyList<int> tokens, int pages)
            : base(tokens, tokens.Count, adapter: -1)
        {
            for (int page = 0; page < pages; page++)
            {
                Pages.Add(page);
                Streaming.Add(page);
            }
        }

        public int Row { get; set; }

        public override int Target => Tokens.Count;

        public override int NextRow => Row;

        public override int MaxCachedTokens => Tokens.Count;

        public override bool Accept(int position, ReadOnlySpan<float> row) => false;

        public override void Complete()
        {
        }

        public override void Cancel()
        {
        }

        public override void Fail(Exception exception)
        {
        }
    }
}
