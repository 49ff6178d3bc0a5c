using LongCat.ML.Checkpoints;

namespace LongCat.ML.Inference.Speculation;

/// <summary>Sparse verification of a model: what the options ask for against what the folder was exported for.</summary>
internal static class SparseSetup
{
    /// <summary>The engine's options with the calibration of the folder, where they name none and the folder holds one.</summary>
    /// <param name="folder">The model's folder.</param>
    /// <param name="manifest">Its manifest.</param>
    /// <param name="options">The engine's options.</param>
    /// <exception cref="CheckpointException">The folder's calibration is damaged.</exception>
    /// <exception cref="InferenceException">The model was not exported for it, or a value does not go with the model.</exception>
    public static EngineOptions Complete(string folder, ModelManifest manifest, EngineOptions options)
    {
        if (options.Speculation is not { Verification: { IsLossless: false } verification } speculation)
        {
            return options;
        }

        if (manifest.SparseVerification is not { } layout)
        {
            throw new InferenceException(
                $"SpeculativeOptions.Verification leaves something out, and {folder} was exported without sparse verification. Export the checkpoint with --sparse-verification "
                + "(ExportOptions.SparseVerification) and longcat operators, or leave Verification out.");
        }

        string file = Path.Combine(folder, SparseCalibration.FileName);
        string name = "SparseVerification.Calibration";
        if (verification.Calibration is null && File.Exists(file))
        {
            verification = verification with { Calibration = SparseCalibration.Load(file) };
            name = file;
        }

        Check(folder, manifest, layout, options, verification, name);
        return options with { Speculation = speculation with { Verification = verification } };
    }

    private static void Check(string folder, ModelManifest manifest, SparseVerificationLayout layout, EngineOptions options, SparseVerification verification, string name)
    {
        if (verification.Attention is { } attention)
        {
            if (attention.BlockSize % options.PageSize != 0)
            {
                throw new InferenceException(
                    $"AttentionBudget.BlockSize is {attention.BlockSize} and EngineOptions.PageSize is {options.PageSize}; the means of keys are those of pages, so expected a multiple of {options.PageSize}.");
            }

            if (layout.MeanWidths.All(width => width == 0))
            {
                throw new InferenceException(
                    $"SparseVerification.Attention is set and no attention of {folder} reads its whole context (all of them stream, have a window or an indexer). Leave it out.");
            }

            if (attention.Anchors?.Count > 0 && attention.Anchors[^1] >= layout.Attentions)
            {
                throw new InferenceException($"AttentionBudget.Anchors names attention {attention.Anchors[^1]}, and {folder} has {layout.Attentions}; expected 0 to {layout.Attentions - 1}.");
            }
        }

        if (verification.FfnThreshold > 0 && layout.FfnLayers == 0)
        {
            throw new InferenceException(
                $"SparseVerification.FfnThreshold is {verification.FfnThreshold}, and no feed-forward network of {folder} (precision {manifest.Precision}) can leave channels out: they have 4-bit weights, or are mixtures of "
                + "experts. Export with --precision bf16 or f32, or leave FfnThreshold 0.");
        }

        if (verification.MaxSkippedExperts > 0 && verification.MaxSkippedExperts >= layout.TopK)
        {
            throw new InferenceException(
                $"SparseVerification.MaxSkippedExperts is {verification.MaxSkippedExperts}, and {folder} "
                + (layout.MoeLayers == 0 ? "has no experts that could be skipped; expected 0." : $"chooses {layout.TopK} experts for a token; expected 0 to {layout.TopK - 1}."));
        }

        if (verification.Calibration is { } calibration)
        {
            if (calibration.ContentHash != manifest.ContentHash)
            {
                throw new InferenceException($"{name} was measured on another model (content hash {calibration.ContentHash}) than {folder} ({manifest.ContentHash}). Run longcat calibrate-sparse on this one.");
            }

            int shares = calibration.ExpertShares.Count == 0 ? 0 : calibration.ExpertShares[0].Count;
            if (calibration.Similarity.Count != layout.Attentions || calibration.ExpertShares.Count != layout.MoeLayers || shares != Math.Max(0, layout.TopK - 1))
            {
                throw new InferenceException(
                    $"{name} has {calibration.Similarity.Count} attentions and {calibration.ExpertShares.Count} mixtures with {shares} shares each, {folder} has {layout.Attentions} and {layout.MoeLayers} with "
                    + $"{Math.Max(0, layout.TopK - 1)}. Run longcat calibrate-sparse on this model.");
            }
        }
    }
}
