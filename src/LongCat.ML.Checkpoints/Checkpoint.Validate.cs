using System.Buffers;
using System.Text;

namespace LongCat.ML.Checkpoints;

public sealed partial class Checkpoint
{
    private const int MostListed = 20;

    /// <summary>Holds the tensors against the config: all missing, extra and misfitting tensors are listed together in one error.</summary>
    /// <param name="withMtp">Whether the MTP tensors must be there; null to expect them exactly when the checkpoint has some.
    /// With false, <c>model.mtp.*</c> tensors are ignored.</param>
    /// <exception cref="CheckpointException">At least one tensor is missing, extra, mis-shaped or of a type that holds no weights.</exception>
    public void Validate(bool? withMtp = null)
    {
        bool mtp = withMtp ?? Config.MtpLayers > 0;
        ModelConfig config = mtp && Config.MtpLayers == 0 ? Config with { MtpLayers = 1 } : Config;
        Validate(config.ExpectedTensors(mtp), ignoreMtp: !mtp);
    }

    /// <summary>Holds the tensors against a list of one's own.</summary>
    /// <param name="expected">The tensors that must be there, with their shapes.</param>
    /// <param name="ignoreMtp">Whether <c>model.mtp.*</c> tensors outside the list are ignored instead of reported as extra.</param>
    /// <exception cref="CheckpointException">At least one tensor is missing, extra, mis-shaped or of a type that holds no weights.</exception>
    public void Validate(IEnumerable<ExpectedTensor> expected, bool ignoreMtp = false)
    {
        TensorDifferences differences = Compare(expected, ignoreMtp);
        if (TiedHeadProblem() is string problem && differences.Misfitting.All(m => m.Name != ModelConfig.HeadName))
        {
            differences.Misfitting.Add((ModelConfig.HeadName, problem));
        }

        if (differences.IsEmpty)
        {
            return;
        }

        StringBuilder message = new();
        message.Append("the tensors do not fit the config: ").Append(differences.Missing.Count).Append(" missing, ")
            .Append(differences.Extra.Count).Append(" extra, ").Append(differences.Misfitting.Count).Append(" with the wrong shape or type");
        foreach (string line in differences.Lines(MostListed))
        {
            message.Append('\n').Append("  ").Append(line);
        }

        throw new CheckpointException(Folder, differences.FirstTensor, message.ToString(), tensorInMessage: false);
    }

    /// <summary>
    /// Reads all given tensors and looks for values that are not finite. It touches every byte, so it takes as long as reading the files;
    /// it is not part of opening.
    /// </summary>
    /// <param name="names">The tensors to read; null for all floating-point tensors.</param>
    /// <param name="progress">Told the bytes read so far after every tensor; null for none.</param>
    /// <param name="cancellationToken">Looked at before every piece.</param>
    /// <exception cref="CheckpointException">At least one tensor holds NaN or infinity; the message names each with both counts.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    /// <exception cref="ObjectDisposedException">The checkpoint is closed.</exception>
    public void CheckFinite(IEnumerable<string>? names = null, IProgress<long>? progress = null, CancellationToken cancellationToken = default)
    {
        string[] chosen = names is not null
            ? [.. names]
            : [.. tensors.Values.Where(t => t.Type.IsFloatingPoint()).OrderBy(t => t.File, StringComparer.Ordinal).ThenBy(t => t.Offset).Select(t => t.Name)];
        List<(TensorEntry Entry, long NaN, long Infinity)> bad = [];
        float[] buffer = ArrayPool<float>.Shared.Rent(ChunkElements);
        try
        {
            long bytes = 0;
            foreach (string name in chosen)
            {
                TensorEntry entry = Entry(name);
                (long nan, long infinity) = CountNonFinite(entry, buffer.AsSpan(0, ChunkElements), cancellationToken);
                if (nan + infinity > 0)
                {
                    bad.Add((entry, nan, infinity));
                }

                bytes += entry.ByteLength;
                progress?.Report(bytes);
            }
        }
        finally
        {
            ArrayPool<float>.Shared.Return(buffer);
        }

        if (bad.Count > 0)
        {
            IEnumerable<string> lines = bad.Take(MostListed).Select(b =>
                $"tensor {CheckpointException.Printable(b.Entry.Name)} holds {b.NaN} NaN and {b.Infinity} infinite of {b.Entry.ElementCount} values");
            string more = bad.Count > MostListed ? $"; and {bad.Count - MostListed} more tensors" : "";
            throw new CheckpointException(bad[0].Entry.File, bad[0].Entry.Name,
                $"{string.Join("; ", lines)}{more}; expected finite values", tensorInMessage: false);
        }
    }

    /// <summary>The differences between the tensors and a list of expected ones.</summary>
    internal TensorDifferences Compare(IEnumerable<ExpectedTensor> expected, bool ignoreMtp)
    {
        TensorDifferences differences = new();
        HashSet<string> known = new(StringComparer.Ordinal);
        foreach (ExpectedTensor tensor in expected)
        {
            known.Add(tensor.Name);
            if (!tensors.TryGetValue(tensor.Name, out TensorEntry? entry))
            {
                differences.Missing.Add((tensor.Name, TensorEntry.ShapeText(tensor.Shape)));
            }
            else if (!TensorEntry.SameShape(entry.Shape, tensor.Shape))
            {
                differences.Misfitting.Add((tensor.Name,
                    $"has shape {TensorEntry.ShapeText(entry.Shape)}, the config calls for {TensorEntry.ShapeText(tensor.Shape)}"));
            }
            else if (!entry.Type.IsFloatingPoint())
            {
                differences.Misfitting.Add((tensor.Name, $"has type {entry.Type.SafetensorsName()}, expected a floating-point type"));
            }
            else if (BlockScales.Problem(this, entry) is string problem)
            {
                differences.Misfitting.Add((tensor.Name, problem));
            }
        }

        if (Config.TieWordEmbeddings && tensors.TryGetValue(ModelConfig.HeadName, out TensorEntry? head) && known.Add(head.Name)
            && !TensorEntry.SameShape(head.Shape, [Config.VocabSize, Config.HiddenSize]))
        {
            differences.Misfitting.Add((head.Name,
                $"has shape {TensorEntry.ShapeText(head.Shape)}, the config calls for {TensorEntry.ShapeText([Config.VocabSize, Config.HiddenSize])} or, since heads are tied, none"));
        }

        differences.Extra.AddRange(tensors.Keys.Where(n => !known.Contains(n) && !IsIgnorable(n, ignoreMtp)).Order(StringComparer.Ordinal));
        return differences;
    }

    /// <summary>Tensors that published checkpoints carry and no implementation needs.</summary>
    private bool IsIgnorable(string name, bool ignoreMtp)
    {
        if (name.EndsWith("rotary_emb.inv_freq", StringComparison.Ordinal) || name == "model.mtp.embed_tokens.weight")
        {
            return true;
        }

        if (ignoreMtp && name.StartsWith("model.mtp.", StringComparison.Ordinal))
        {
            return true;
        }

        return IsBlockScale(name);
    }

    /// <summary>Whether a tensor holds the block scales of an F8_E4M3 weight of this checkpoint.</summary>
    internal bool IsBlockScale(string name) => name.EndsWith(BlockQuantization.ScaleSuffix, StringComparison.Ordinal)
        && tensors.TryGetValue(name[..^BlockQuantization.ScaleSuffix.Length], out TensorEntry? scaled)
        && scaled.Type == TensorType.Float8E4M3;

    /// <summary>A tied head may be stored beside the embedding as long as both are the same; which of two is meant cannot be known.</summary>
    private string? TiedHeadProblem()
    {
        if (!Config.TieWordEmbeddings
            || !tensors.TryGetValue(ModelConfig.HeadName, out TensorEntry? head)
            || !tensors.TryGetValue(ModelConfig.EmbeddingName, out TensorEntry? embedding)
            || !head.Type.IsFloatingPoint() || !embedding.Type.IsFloatingPoint()
            || !TensorEntry.SameShape(head.Shape, embedding.Shape)
            || BlockScales.Problem(this, head) is not null || BlockScales.Problem(this, embedding) is not null)
        {
            // What is missing or misshapen is reported as such.
            return null;
        }

        int chunk = (int)Math.Min(ChunkElements, Math.Max(1, head.ElementCount));
        float[] left = ArrayPool<float>.Shared.Rent(chunk);
        float[] right = ArrayPool<float>.Shared.Rent(chunk);
        try
        {
            for (long done = 0; done < head.ElementCount; done += chunk)
            {
                int count = (int)Math.Min(chunk, head.ElementCount - done);
                ReadFloat32(head.Name, done, left.AsSpan(0, count));
                ReadFloat32(embedding.Name, done, right.AsSpan(0, count));
                if (!left.AsSpan(0, count).SequenceEqual(right.AsSpan(0, count)))
                {
                    return $"differs from {embedding.Name}, although tie_word_embeddings is true: expected the same values or no such tensor";
                }
            }

            return null;
        }
        finally
        {
            ArrayPool<float>.Shared.Return(left);
            ArrayPool<float>.Shared.Return(right);
        }
    }

    private (long NaN, long Infinity) CountNonFinite(TensorEntry entry, Span<float> buffer, CancellationToken cancellationToken)
    {
        long nan = 0;
        long infinity = 0;
        for (long done = 0; done < entry.ElementCount; done += buffer.Length)
        {
            cancellationToken.ThrowIfCancellationRequested();
            Span<float> piece = buffer[..(int)Math.Min(buffer.Length, entry.ElementCount - done)];
            ReadFloat32(entry.Name, done, piece);
            (long n, long i) = TensorConversion.CountNonFinite(piece);
            nan += n;
            infinity += i;
        }

        return (nan, infinity);
    }
}
