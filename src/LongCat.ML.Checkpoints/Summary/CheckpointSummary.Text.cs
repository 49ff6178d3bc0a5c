using System.Globalization;
using System.Text;

namespace LongCat.ML.Checkpoints;

public sealed partial record CheckpointSummary
{
    private const int MostListed = 10;
    private const int LabelWidth = 12;

    /// <summary>The summary as plain text for a terminal: a heading, facts by topic, a table of groups, and what does not fit.</summary>
    /// <returns>Lines of at most about 120 characters each ended by a line feed. English number formats.</returns>
    public string ToText()
    {
        StringBuilder text = new();
        text.Append(Config.Architecture).Append(CultureInfo.InvariantCulture, $" · {Count(Parameters)} parameters in {TensorCount:N0} tensors · ")
            .Append(CultureInfo.InvariantCulture, $"{Size(Bytes)} in {FileCount:N0} {(FileCount == 1 ? "file" : "files")}\n");
        Fact(text, "folder", Folder);
        Fact(text, "types", string.Join(", ", Types.Select(t => $"{t.Type.SafetensorsName()} {Size(t.Bytes)} ({Plural(t.Tensors, "tensor")})")));
        Fact(text, "model", Line($"{Plural(Config.NumLayers, "layer")}, hidden size {Config.HiddenSize:N0}, {Plural(Config.NumAttentionHeads, "head")}, vocabulary {Config.VocabSize:N0}"));
        if (Config is LongcatFlashConfig flash)
        {
            AppendFlash(text, flash);
        }
        else if (Config is DecoderConfig decoder)
        {
            AppendDecoder(text, decoder);
        }

        if (Config.Streaming is { } streaming)
        {
            Fact(text, "streaming", StreamingText(streaming));
        }

        Fact(text, "context", Line($"{Config.MaxPositions:N0} tokens, {RopeText(Config.Rope)}"));
        Fact(text, "tokens", $"begin {(Config.BosTokenId is int bos ? Line($"{bos}") : "none")}, end {(Config.EosTokenIds.Count > 0 ? string.Join(", ", Config.EosTokenIds) : "none")}");
        if (Config.Quantization is { } blocks)
        {
            Fact(text, "quantized", Line($"F8_E4M3 weights in blocks of {blocks.BlockRows}×{blocks.BlockColumns}"));
        }

        AppendGroups(text);
        AppendDifferences(text);
        return text.ToString();
    }

    private static void AppendFlash(StringBuilder text, LongcatFlashConfig flash)
    {
        Fact(text, "attention", Line($"latent, 2 per layer; ranks {flash.QLoraRank:N0} and {flash.KvLoraRank:N0}; per head {flash.QkNopeHeadDim} + {flash.QkRopeHeadDim} rotated, value {flash.VHeadDim}"));
        long values = (long)flash.CacheWidth * flash.AttentionSubLayers;
        if (flash.Indexer is { } indexer)
        {
            Fact(text, "indexer", Line($"{Plural(indexer.NumHeads, "head")} of {indexer.HeadDim}; a query sees {indexer.TopK:N0} keys, among them the first {indexer.InitTokens:N0} and the last {indexer.LocalTokens:N0}"));
            Fact(text, "cache", Line($"{flash.CacheWidth:N0} values per token and attention, {indexer.HeadDim} per indexer, {values + ((long)indexer.HeadDim * flash.NumLayers):N0} per token"));
        }
        else
        {
            Fact(text, "cache", Line($"{flash.CacheWidth:N0} values per token and attention, {values:N0} per token"));
        }

        Fact(text, "experts", Line($"{flash.NumRoutedExperts:N0} routed and {flash.NumZeroExperts:N0} zero ({flash.ZeroExpertType.ToString().ToLowerInvariant()}) per layer, {flash.MoeTopK} per token, weights × {flash.RoutedScalingFactor:R}"));
        if (flash.NGram is { } ngram)
        {
            IReadOnlyList<long> rows = ngram.TableRows;
            Fact(text, "n-grams", Line($"2 to {ngram.NeighborNum} tokens, {Plural(ngram.TableCount, "table")} ({ngram.SplitNum} per order) of {rows[0]:N0} to {rows[^1]:N0} rows × {ngram.TableWidth}"));
        }

        Fact(text, "draft head", flash.MtpLayers == 0 ? "none" : Line($"{Plural(flash.MtpLayers, "step")} with {Plural(flash.PhysicalMtpLayers, "layer")}"));
    }

    private static void AppendDecoder(StringBuilder text, DecoderConfig decoder)
    {
        List<string> extras = [];
        if (decoder.QueryKeyNorm)
        {
            extras.Add("query and key norms");
        }

        if (decoder.QueryKeyValueBias)
        {
            extras.Add(decoder.OutputBias ? "biases" : "query, key and value biases");
        }

        Fact(text, "attention", Line($"{Plural(decoder.NumAttentionHeads, "query head")} over {Plural(decoder.NumKeyValueHeads, "key and value head")} of {decoder.HeadDim}{string.Concat(extras.Select(e => ", " + e))}"));
        Fact(text, "windows", WindowText(decoder));
        Fact(text, "cache", Line($"{decoder.CacheWidth:N0} values per token and attention, {(long)decoder.CacheWidth * decoder.NumLayers:N0} per token"));
        int sparse = decoder.SparseLayers.Count(s => s);
        if (sparse < decoder.NumLayers)
        {
            Fact(text, "mlp", Line($"{decoder.IntermediateSize:N0} wide{(decoder.MlpBias ? ", biases" : "")}{(sparse > 0 ? $", in {Plural(decoder.NumLayers - sparse, "layer")}" : "")}"));
        }

        if (decoder.Experts is { } experts)
        {
            Fact(text, "experts", Line($"{experts.NumExperts:N0} of width {experts.ExpertSize:N0} in {Plural(sparse, "layer")}, {experts.TopK} per token, weights {(experts.NormalizeTopK ? "sum to 1" : "as the softmax gives them")}"));
        }

        Fact(text, "head", decoder.TieWordEmbeddings ? "the word embedding (tied)" : "its own");
    }

    private static string WindowText(DecoderConfig decoder)
    {
        int[] windows = [.. decoder.Windows.OfType<int>().Distinct()];
        int layers = decoder.Windows.Count(window => window is not null);
        return windows.Length == 0 ? "none"
            : Line($"{string.Join(" or ", windows.Select(window => Line($"{window:N0}")))} tokens in {(layers == decoder.NumLayers ? "every layer" : $"{layers:N0} of {decoder.NumLayers:N0} layers")}");
    }

    private string StreamingText(StreamingAttentionConfig streaming)
    {
        // Runs of neighbours as one, so that a model of many layers stays on its line.
        List<string> runs = [];
        IReadOnlyList<int> layers = streaming.AttentionLayers;
        for (int first = 0; first < layers.Count;)
        {
            int last = first;
            while (last + 1 < layers.Count && layers[last + 1] == layers[last] + 1)
            {
                last++;
            }

            runs.Add(last == first ? Line($"{layers[first]}") : Line($"{layers[first]}-{layers[last]}"));
            first = last + 1;
        }

        return Line($"{layers.Count:N0} of {Config.NumAttentions:N0} attentions ({string.Join(", ", runs)}): {streaming.SinkBlocks:N0} first and {streaming.LocalBlocks:N0} latest blocks of {streaming.BlockSize:N0}, at most {streaming.Span:N0} tokens");
    }

    private static string RopeText(RopeConfig rope)
    {
        string scaling = rope.Scaling switch
        {
            { Type: RopeScalingType.Linear } linear => Line($"linear ×{linear.Factor:R}"),
            { Type: RopeScalingType.Llama3 } llama => Line($"Llama-3 rule ×{llama.Factor:R} over {llama.OriginalMaxPositions:N0}"),
            { Type: RopeScalingType.Yarn } yarn => Line($"YaRN ×{yarn.Factor:R} over {yarn.OriginalMaxPositions:N0}"),
            _ => "not extended",
        };
        return Line($"rotary base {rope.Theta:N0}, {scaling}");
    }

    private void AppendGroups(StringBuilder text)
    {
        text.Append(CultureInfo.InvariantCulture, $"\n  {"group",-LabelWidth}{"tensors",9}{"parameters",20}{"share",8}{"size",11}\n");
        foreach (TensorGroupSummary group in Groups)
        {
            string name = group.Group switch
            {
                TensorGroup.NGram => "n-grams",
                TensorGroup.Mtp => "draft head",
                TensorGroup known => known.ToString().ToLowerInvariant(),
                null => "other",
            };
            double share = Parameters == 0 ? 0 : 100.0 * group.Parameters / Parameters;
            text.Append(CultureInfo.InvariantCulture, $"  {name,-LabelWidth}{group.Tensors,9:N0}{group.Parameters,20:N0}{share,7:F1}%{Size(group.Bytes),11}\n");
        }

        text.Append(CultureInfo.InvariantCulture, $"  {"total",-LabelWidth}{TensorCount,9:N0}{Parameters,20:N0}{"",8}{Size(Bytes),11}\n");
    }

    private void AppendDifferences(StringBuilder text)
    {
        text.Append('\n');
        if (FitsConfig)
        {
            text.Append("The tensors fit the config.\n");
            return;
        }

        text.Append(CultureInfo.InvariantCulture, $"The tensors do not fit the config: {Missing.Count:N0} missing, {Extra.Count:N0} extra, {Misfitting.Count:N0} with the wrong shape or type.\n");
        AppendList(text, "missing", Missing);
        AppendList(text, "extra", Extra);
        AppendList(text, "misfit", Misfitting);
    }

    private static void AppendList(StringBuilder text, string label, IReadOnlyList<string> items)
    {
        foreach (string item in items.Take(MostListed))
        {
            Fact(text, label, CheckpointException.Printable(item));
        }

        if (items.Count > MostListed)
        {
            Fact(text, label, Line($"… and {items.Count - MostListed:N0} more"));
        }
    }

    private static void Fact(StringBuilder text, string label, string value) =>
        text.Append("  ").Append(label.PadRight(LabelWidth)).Append(value).Append('\n');

    private static string Line(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private static string Plural(int count, string noun) => Line($"{count:N0} {noun}{(count == 1 ? "" : "s")}");

    /// <summary>A count in the way people say it: 68.56 billion.</summary>
    private static string Count(long count) => count switch
    {
        >= 1_000_000_000 => Line($"{count / 1e9:F2} billion"),
        >= 1_000_000 => Line($"{count / 1e6:F2} million"),
        _ => Line($"{count:N0}"),
    };

    /// <summary>Bytes in decimal units, as disks and downloads are measured.</summary>
    private static string Size(long bytes) => bytes switch
    {
        >= 1_000_000_000 => Line($"{bytes / 1e9:F2} GB"),
        >= 1_000_000 => Line($"{bytes / 1e6:F2} MB"),
        >= 1_000 => Line($"{bytes / 1e3:F1} kB"),
        _ => Line($"{bytes} B"),
    };
}
