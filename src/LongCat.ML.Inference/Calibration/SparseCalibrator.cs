using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Paging;
using LongCat.ML.Inference.Scheduling;
using LongCat.ML.Inference.Sessions;
using LongCat.ML.Onnx;
using Microsoft.ML.OnnxRuntime;

namespace LongCat.ML.Inference.Calibration;

/// <summary>Measures what sparse verification must know of a model (arXiv 2512.21911) by running texts through an export for it.</summary>
/// <remarks>The same texts give the same numbers, whatever the threads. Thread safety: static and without state.</remarks>
public static class SparseCalibrator
{
    private const int PageSize = 16;

    /// <summary>Measures. After every <see cref="SparseCalibrationOptions.Stride"/> tokens the last of them chooses blocks in every attention; the prompt goes on from exact keys and values.</summary>
    /// <param name="folder">A folder that was exported for sparse verification.</param>
    /// <param name="sequences">Token ids; each sequence begins at position 0 and is no longer than the model's longest context. Empty ones are skipped.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="progress">Told after every step, on this thread; null for none.</param>
    /// <param name="cancellationToken">Ends the calibration, a running step included.</param>
    /// <returns>The calibration; <see cref="SparseCalibration.Save"/> keeps it beside the model.</returns>
    /// <exception cref="CheckpointException">The folder is no exported model, or not exported for sparse verification.</exception>
    /// <exception cref="InferenceException">A sequence does not fit the model, the budget's blocks are no whole pages, or an expert's weight is no number.</exception>
    /// <exception cref="ArgumentException">An option is outside its range, or there is no sequence with tokens.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static SparseCalibration Measure(
        string folder,
        IReadOnlyList<IReadOnlyList<int>> sequences,
        SparseCalibrationOptions? options = null,
        IProgress<CalibrationProgress>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        ArgumentNullException.ThrowIfNull(sequences);
        options ??= new SparseCalibrationOptions();
        options.Check();
        ModelManifest manifest = ModelManifest.Read(folder);
        Calibrator.Check(sequences, manifest);
        SparseProbeGraph graph = SparseProbeGraph.Read(Path.Combine(folder, ModelManifest.ModelFileName));
        SparseVerificationLayout layout = manifest.SparseVerification
            ?? throw new CheckpointException(folder, $"{ModelManifest.FileName} has no sparse_verification and the graph was exported for it: the folder is mixed up. Export the checkpoint again.");
        if (graph.Shares.Count != layout.MoeLayers)
        {
            throw new CheckpointException(folder, $"{ModelManifest.FileName} counts {layout.MoeLayers} mixtures that can skip experts and the graph has {graph.Shares.Count}: the folder is mixed up. Export the checkpoint again.");
        }

        AttentionBudget budget = options.Attention with { L0 = 0, Anchors = null };
        if (budget.BlockSize % PageSize != 0)
        {
            throw new InferenceException($"AttentionBudget.BlockSize is {budget.BlockSize}, and the calibration's pages have {PageSize} tokens; expected a multiple of {PageSize}.");
        }

        int longest = sequences.Max(sequence => sequence.Count);
        int pages = (longest + PageSize - 1) / PageSize;
        using SparseInputs inputs = new(layout, new SparseVerification { Attention = budget }, pages, PageSize);
        using ProbeSession probe = ProbeSession.Open(folder, manifest, [.. graph.Blocks.Values, .. graph.Shares, .. graph.Activations.Select(network => network.Output)], pages, PageSize, options.Threads, graph.Model, inputs);
        PackedStep step = new(options.Stride + 1, 1, pages, PageSize, manifest.NgramNeighbors, StreamingPattern.Of(manifest, PageSize));
        Measurement measurement = new(graph, layout, budget, options);
        long tokens = sequences.Sum(sequence => (long)sequence.Count), done = 0;
        for (int i = 0; i < sequences.Count; i++)
        {
            CalibrationSequence sequence = new(i, sequences[i]);
            for (int page = 0; page < pages; page++)
            {
                sequence.Pages.Add(page);

                // Streaming attentions have as many pages here: nothing is given back.
                sequence.Streaming.Add(page);
            }

            bool chose = false;
            for (int start = 0; start < sequence.Target;)
            {
                int count = Math.Min(options.Stride, sequence.Target - start);

                // The token that chose left approximate keys and values: it is computed once more before those behind it.
                int again = chose ? 1 : 0;
                Run(new StepEntry(sequence, start - again, count + again));
                measurement.AddTokens(probe, again, count + again);
                start += count;
                chose = measurement.IsChoice(start - 1);
                if (chose)
                {
                    Run(new StepEntry(sequence, start - 1, 1, Sparse: true));
                    measurement.AddChoice(probe, start - 1);
                }

                done += count;
                progress?.Report(new CalibrationProgress(done, tokens, 1, 1));
            }
        }

        return measurement.Complete(manifest.ContentHash, tokens);

        void Run(StepEntry entry)
        {
            cancellationToken.ThrowIfCancellationRequested();
            step.Fill([entry]);
            using CancellationTokenRegistration registration = cancellationToken.Register(probe.Abort);
            try
            {
                probe.Run(step);
            }
            catch (OnnxRuntimeException exception)
            {
                cancellationToken.ThrowIfCancellationRequested();
                throw new InferenceException($"the calibration failed in a step of {step.Tokens} tokens: {exception.Message}", exception);
            }
        }
    }

    /// <summary>What is added up.</summary>
    private sealed class Measurement(SparseProbeGraph graph, SparseVerificationLayout layout, AttentionBudget budget, SparseCalibrationOptions options)
    {
        private readonly ShareMedians[] _shares = [.. graph.Shares.Select(_ => new ShareMedians(layout.TopK))];
        private readonly long[][] _below = [.. graph.Activations.Select(_ => new long[options.Thresholds.Count])];
        private readonly long[] _channels = new long[graph.Activations.Count];
        private readonly List<IReadOnlyDictionary<int, uint[]>> _choices = [];

        /// <summary>Whether the budget leaves the token at a position a choice: some blocks beyond those that are always kept, and not all.</summary>
        public bool IsChoice(int position)
        {
            if (graph.Blocks.Count == 0)
            {
                return false;
            }

            long read = (((position + 1L) * budget.RhoThousandths / 1000) + budget.BlockSize - 1) / budget.BlockSize;
            return read > (long)budget.SinkBlocks + budget.LocalBlocks && read < (position / budget.BlockSize) + 1;
        }

        public void AddTokens(ProbeSession probe, int first, int count)
        {
            for (int mixture = 0; mixture < _shares.Length; mixture++)
            {
                ReadOnlySpan<float> weights = probe.Read<float>(graph.Shares[mixture]);
                for (int token = first; token < count; token++)
                {
                    if (!_shares[mixture].Add(weights.Slice(token * layout.TopK, layout.TopK)))
                    {
                        throw new InferenceException(
                            $"a weight in '{graph.Shares[mixture]}' is no number of 0 or more: the model overflows on this text, or its weights are damaged (longcat inspect --check-finite).");
                    }
                }
            }

            for (int network = 0; network < _channels.Length; network++)
            {
                ReadOnlySpan<float> activations = probe.Read<float>(graph.Activations[network].Output);
                activations = activations[(activations.Length / count * first)..];
                _channels[network] += activations.Length;
                for (int i = 0; i < options.Thresholds.Count; i++)
                {
                    float threshold = options.Thresholds[i];
                    long below = 0;
                    foreach (float activation in activations)
                    {
                        below += Math.Abs(activation) < threshold ? 1 : 0;
                    }

                    _below[network][i] += below;
                }
            }
        }

        /// <summary>Takes in the blocks that one token chose; those that every token reads say nothing and are left out.</summary>
        public void AddChoice(ProbeSession probe, int position)
        {
            int local = Math.Max(0, (position / budget.BlockSize) - budget.LocalBlocks + 1);
            Dictionary<int, uint[]> choice = [];
            foreach ((int attention, string output) in graph.Blocks)
            {
                uint[] words = Array.ConvertAll(probe.Read<int>(output).ToArray(), word => (uint)word);
                int perHead = (int)probe.ShapeOf(output)[2];
                for (int i = 0; i < words.Length; i++)
                {
                    for (int bit = 0; bit < 32; bit++)
                    {
                        int block = (i % perHead * 32) + bit;
                        words[i] &= block < budget.SinkBlocks || block >= local ? ~(1u << bit) : uint.MaxValue;
                    }
                }

                choice.Add(attention, words);
            }

            _choices.Add(choice);
        }

        public SparseCalibration Complete(string contentHash, long tokens)
        {
            (IReadOnlyList<int> anchors, IReadOnlyList<double> similarity) = AnchorChoice.Of(layout.Attentions, _choices, options.AnchorThreshold);
            return new SparseCalibration
            {
                ContentHash = contentHash,
                Tokens = tokens,
                Anchors = anchors,
                AnchorThreshold = options.AnchorThreshold,
                Similarity = similarity,
                Choices = _choices.Count,
                ExpertShares = [.. _shares.Select(shares => shares.Medians())],
                Thresholds = options.Thresholds,
                Activity = [.. graph.Activations.Select((network, i) => new ChannelActivity(network.Network, [.. _below[i].Select(below => (double)below / Math.Max(1, _channels[i]))]))],
            };
        }
    }
}
