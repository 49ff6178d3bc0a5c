using LongCat.ML.Engines;
using LongCat.ML.Inputs;
using Microsoft.ML.Data;

namespace LongCat.ML.Steps;

/// <summary>A completion.</summary>
internal sealed record GenerateResult(string Text, string FinishReason, int PromptTokens, int CompletionTokens, float[] LogProbabilities) : RowResult;

/// <summary>Prompts to completions.</summary>
internal sealed class GenerateStep : RowStep
{
    public const string StepName = "Generate";
    private readonly GenerateOptions options;
    private readonly CompletionSettings settings;

    public GenerateStep(GenerateOptions options)
        : base(options)
    {
        this.options = options;
        First = IsChat(options) ? new ChatText(options.RolesColumnName!, options.ContentsColumnName!) : First;
        Second = RowOptionsText.Of(options);
        settings = new CompletionSettings
        {
            MaxNewTokens = options.MaxNewTokens,
            Temperature = options.Temperature,
            TopK = options.TopK,
            TopP = options.TopP,
            Seed = options.Seed,
            StopStrings = options.StopStrings,
            LogProbabilities = options.LogProbabilitiesColumnName is not null,
            OverlongRows = options.OverlongRows,
        };
        var outputs = new List<StepColumn>
        {
            new StepColumn<GenerateResult, ReadOnlyMemory<char>>(
                options.OutputColumnName, SavedNames.Completion, TextDataViewType.Instance, (GenerateResult result, ref ReadOnlyMemory<char> value) => value = result.Text.AsMemory()),
        };
        if (options.FinishReasonColumnName is { } reason)
        {
            outputs.Add(new StepColumn<GenerateResult, ReadOnlyMemory<char>>(
                reason, SavedNames.FinishReason, TextDataViewType.Instance, (GenerateResult result, ref ReadOnlyMemory<char> value) => value = result.FinishReason.AsMemory()));
        }

        if (options.PromptTokensColumnName is { } prompt)
        {
            outputs.Add(new StepColumn<GenerateResult, int>(
                prompt, SavedNames.PromptTokens, NumberDataViewType.Int32, (GenerateResult result, ref int value) => value = result.PromptTokens));
        }

        if (options.CompletionTokensColumnName is { } completion)
        {
            outputs.Add(new StepColumn<GenerateResult, int>(
                completion, SavedNames.CompletionTokens, NumberDataViewType.Int32, (GenerateResult result, ref int value) => value = result.CompletionTokens));
        }

        if (options.LogProbabilitiesColumnName is { } probabilities)
        {
            outputs.Add(new StepColumn<GenerateResult, VBuffer<float>>(
                probabilities,
                SavedNames.LogProbabilities,
                new VectorDataViewType(NumberDataViewType.Single),
                (GenerateResult result, ref VBuffer<float> value) => VectorWriter.Write(result.LogProbabilities, ref value)));
        }

        Outputs = outputs;
    }

    public override string Name => StepName;

    public override IReadOnlyList<StepColumn> Outputs { get; }

    public override RowResult Empty { get; } = new GenerateResult("", "empty", 0, 0, []);

    public override RowResult Failed { get; } = new GenerateResult("", "error", 0, 0, []);

    /// <summary>Whether chats are completed rather than texts.</summary>
    public static bool IsChat(GenerateOptions options) => !string.IsNullOrEmpty(options.RolesColumnName);

    public override async Task<RowResult> RunAsync(IDisposable model, RowTexts texts, CancellationToken cancellationToken)
    {
        CompletionSettings own = Second is null ? settings : RowOptions.Parse(texts.Second).Over(settings, options);
        CompletionRequest request = IsChat(options)
            ? new CompletionRequest("", own) { Messages = ChatText.Parse(texts.First), ChatVariables = options.ChatVariables }
            : new CompletionRequest(texts.First, own);
        TextCompletion completion = await ((ITextEngine)model).GenerateAsync(request with { Adapter = AdapterOf(texts) }, cancellationToken).ConfigureAwait(false);
        return new GenerateResult(completion.Text, completion.FinishReason, completion.PromptTokens, completion.CompletionTokens, completion.LogProbabilities);
    }
}
