using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Scheduling;
using LongCat.ML.Inference.Sessions;

namespace LongCat.ML.Inference.Speculation;

/// <summary>Where an engine's proposals come from: found, checked and counted in the budget before anything is opened.</summary>
internal sealed class DraftSource
{
    private const string TokenizerFile = "tokenizer.json";

    private readonly string _folder;
    private readonly ModelManifest _model;
    private readonly SpeculativeOptions _options;

    private DraftSource(string folder, ModelManifest model, ModelManifest? manifest, SpeculativeOptions options)
    {
        _folder = folder;
        _model = model;
        Manifest = manifest;
        _options = options;
    }

    /// <summary>What proposes, with its caches; null for prompt lookup, which has none.</summary>
    public ModelManifest? Manifest { get; }

    /// <summary>Checks what the options ask for; null when they ask for nothing.</summary>
    /// <exception cref="CheckpointException">The draft folder is no exported model.</exception>
    /// <exception cref="InferenceException">The model has no draft head, or the draft model does not go with it.</exception>
    public static DraftSource? Find(string folder, ModelManifest manifest, EngineOptions options)
    {
        if (options.Speculation is not { } speculation)
        {
            return null;
        }

        if (speculation.Proposer == SpeculativeProposer.PromptLookup)
        {
            return speculation.NGramSize == 0 ? null : new DraftSource(folder, manifest, null, speculation);
        }

        if (manifest.Operators == OperatorSet.Standard)
        {
            throw new InferenceException(
                $"SpeculativeOptions.Proposer is {speculation.Proposer} and {folder} holds standard operators, which share no pages with a draft. Use PromptLookup, or export the model with longcat operators.");
        }

        if (speculation.Proposer == SpeculativeProposer.Mtp)
        {
            return manifest.HasDraft
                ? new DraftSource(folder, manifest, manifest with { Caches = manifest.DraftCaches!, DraftCaches = null, NgramNeighbors = 0, Streaming = null, SparseVerification = null }, speculation)
                : throw new InferenceException(
                    $"SpeculativeOptions.Proposer is Mtp and {folder} holds no {ModelManifest.DraftFileName}. Export a checkpoint that has a multi-token-prediction head (without --no-draft), or use another proposer.");
        }

        ModelManifest draft = ModelManifest.Read(speculation.DraftFolder!);
        Check(folder, manifest, speculation.DraftFolder!, draft);
        if (options.VerifyWeights)
        {
            draft.VerifyFiles(speculation.DraftFolder!);
        }

        return new DraftSource(speculation.DraftFolder!, manifest, draft, speculation);
    }

    /// <summary>Opens what proposes.</summary>
    /// <exception cref="InferenceException">ONNX Runtime cannot load its graph, or there is no memory for its caches.</exception>
    public Speculator Open(EngineOptions options, EngineCapacity capacity)
    {
        SpeculativeCounters counters = new();
        return new Speculator(Proposer(options, capacity, counters), _options, counters);
    }

    private IDraftProposer Proposer(EngineOptions options, EngineCapacity capacity, SpeculativeCounters counters)
    {
        if (Manifest is null)
        {
            return new PromptLookupProposer(_options, counters);
        }

        PackedStep step = new(options.MaxStepTokens, options.MaxSequences, capacity.PagesPerSequence, options.PageSize, Manifest.NgramNeighbors);
        EngineCapacity own = capacity with { LogitRows = options.MaxSequences };
        return _options.Proposer == SpeculativeProposer.Mtp
            ? new MtpProposer(DraftHeadRunner.Open(_folder, Manifest, options, own), step, counters)
            : new DraftModelProposer(
                OrtModelRunner.Open(_folder, Manifest, options with { Adapters = new Dictionary<string, string>(), Speculation = null }, own),
                step,
                options.MaxStepTokens,
                options.PageSize,
                Manifest.MaxPositions,
                _model.VocabSize,
                counters);
    }

    private static void Check(string folder, ModelManifest manifest, string draftFolder, ModelManifest draft)
    {
        if (draft.Operators == OperatorSet.Standard)
        {
            throw new InferenceException($"the draft model {draftFolder} holds standard operators, which share no pages with the model. Export it with longcat operators.");
        }

        if (draft.Streaming is not null)
        {
            throw new InferenceException(
                $"the draft model {draftFolder} has streaming attentions, whose pages are no pages of the model. Use a draft model whose attentions are all full, or another proposer.");
        }

        // The same ids must mean the same texts. Without tokenizers there is nothing to compare but their number.
        bool differs = manifest.Files.TryGetValue(TokenizerFile, out ManifestFile? ours) && draft.Files.TryGetValue(TokenizerFile, out ManifestFile? theirs)
            ? ours.Sha256 != theirs.Sha256
            : manifest.VocabSize != draft.VocabSize;
        if (differs)
        {
            throw new InferenceException(
                $"the draft model {draftFolder} has another tokenizer than {folder}: {(ours is null ? $"vocabularies of {draft.VocabSize} and {manifest.VocabSize} tokens" : $"the contents of {TokenizerFile} differ")}. "
                + "A draft model must have the model's own tokenizer.");
        }
    }
}
