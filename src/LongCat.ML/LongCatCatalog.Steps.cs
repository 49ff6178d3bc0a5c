using LongCat.ML.Inference;

namespace LongCat.ML;

public sealed partial class LongCatCatalog
{
    /// <summary>Turns a text column into token ids.</summary>
    /// <param name="model">A folder with a tokenizer.json, or that file.</param>
    /// <param name="outputColumnName">The column of ids.</param>
    /// <param name="inputColumnName">The text column.</param>
    /// <returns>The estimator.</returns>
    /// <exception cref="Checkpoints.CheckpointException">There is no tokenizer.json.</exception>
    public TokenizeEstimator Tokenize(string model, string outputColumnName = "Tokens", string inputColumnName = "Text") =>
        Tokenize(new TokenizeOptions { ModelFolder = model, OutputColumnName = outputColumnName, InputColumnName = inputColumnName });

    /// <summary>Turns a text column into token ids.</summary>
    /// <param name="options">The settings; do not change them afterwards.</param>
    /// <returns>The estimator.</returns>
    /// <exception cref="ArgumentException">A setting is out of range; the message names it.</exception>
    /// <exception cref="Checkpoints.CheckpointException">There is no tokenizer.json.</exception>
    public TokenizeEstimator Tokenize(TokenizeOptions options) => new(context, options ?? throw new ArgumentNullException(nameof(options)));

    /// <summary>Completes a text column, taking the most probable token each time.</summary>
    /// <param name="modelFolder">The exported model.</param>
    /// <param name="outputColumnName">The column of completions.</param>
    /// <param name="inputColumnName">The column of prompts.</param>
    /// <param name="maxNewTokens">The most tokens to generate, at least 1.</param>
    /// <param name="temperature">0 for the most probable token, above it sampling.</param>
    /// <returns>The estimator.</returns>
    /// <exception cref="Checkpoints.CheckpointException">There is no model in the folder, or it is damaged.</exception>
    public GenerateEstimator Generate(string modelFolder, string outputColumnName = "Completion", string inputColumnName = "Text", int maxNewTokens = 128, float temperature = 0) =>
        Generate(new GenerateOptions
        {
            ModelFolder = modelFolder,
            OutputColumnName = outputColumnName,
            InputColumnName = inputColumnName,
            MaxNewTokens = maxNewTokens,
            Temperature = temperature,
        });

    /// <summary>Completes a text column, or a column of chats (<see cref="GenerateOptions.RolesColumnName"/>).</summary>
    /// <param name="options">The settings; do not change them afterwards.</param>
    /// <returns>The estimator.</returns>
    /// <exception cref="ArgumentException">A setting is out of range; the message names it.</exception>
    /// <exception cref="Checkpoints.CheckpointException">There is no model in the folder, or it is damaged; or chats are to be completed and it has no chat template.</exception>
    /// <exception cref="Checkpoints.ChatTemplateException">The folder's chat template is malformed.</exception>
    public GenerateEstimator Generate(GenerateOptions options) => new(context, options ?? throw new ArgumentNullException(nameof(options)));

    /// <summary>The log-likelihood of a text, or of a continuation after a text.</summary>
    /// <param name="modelFolder">The exported model.</param>
    /// <param name="outputColumnName">The column of log-likelihoods.</param>
    /// <param name="inputColumnName">The text column.</param>
    /// <param name="continuationColumnName">The column whose likelihood after the text is wanted; null scores the whole text.</param>
    /// <returns>The estimator.</returns>
    /// <exception cref="Checkpoints.CheckpointException">There is no model in the folder, or it is damaged.</exception>
    public ScoreEstimator Score(string modelFolder, string outputColumnName = "Score", string inputColumnName = "Text", string? continuationColumnName = null) =>
        Score(new ScoreOptions
        {
            ModelFolder = modelFolder,
            OutputColumnName = outputColumnName,
            InputColumnName = inputColumnName,
            ContinuationColumnName = continuationColumnName,
        });

    /// <summary>The log-likelihood of a text, or of a continuation after a text.</summary>
    /// <param name="options">The settings; do not change them afterwards.</param>
    /// <returns>The estimator.</returns>
    /// <exception cref="ArgumentException">A setting is out of range; the message names it.</exception>
    /// <exception cref="Checkpoints.CheckpointException">There is no model in the folder, or it is damaged.</exception>
    public ScoreEstimator Score(ScoreOptions options) => new(context, options ?? throw new ArgumentNullException(nameof(options)));

    /// <summary>Turns a text column into vectors of known size.</summary>
    /// <param name="modelFolder">The exported model.</param>
    /// <param name="outputColumnName">The column of embeddings.</param>
    /// <param name="inputColumnName">The text column.</param>
    /// <param name="pooling">How the hidden states of a text's tokens become one vector.</param>
    /// <returns>The estimator; its vectors have length 1.</returns>
    /// <exception cref="Checkpoints.CheckpointException">There is no model in the folder, or it is damaged.</exception>
    public EmbedEstimator Embed(
        string modelFolder, string outputColumnName = "Embedding", string inputColumnName = "Text", EmbeddingPooling pooling = EmbeddingPooling.Mean) =>
        Embed(new EmbedOptions { ModelFolder = modelFolder, OutputColumnName = outputColumnName, InputColumnName = inputColumnName, Pooling = pooling });

    /// <summary>Turns a text column into vectors of known size.</summary>
    /// <param name="options">The settings; do not change them afterwards.</param>
    /// <returns>The estimator.</returns>
    /// <exception cref="ArgumentException">A setting is out of range; the message names it.</exception>
    /// <exception cref="Checkpoints.CheckpointException">There is no model in the folder, or it is damaged.</exception>
    public EmbedEstimator Embed(EmbedOptions options) => new(context, options ?? throw new ArgumentNullException(nameof(options)));

    /// <summary>Chooses one of a set of labels for a text.</summary>
    /// <param name="modelFolder">The exported model.</param>
    /// <param name="labels">The labels: at least two, all different.</param>
    /// <param name="promptTemplate">The prompt, which holds <see cref="ClassifyOptions.TextPlaceholder"/>; null takes the default of <see cref="ClassifyOptions.PromptTemplate"/>.</param>
    /// <param name="inputColumnName">The text column.</param>
    /// <returns>The estimator; it writes the columns PredictedLabel and Score.</returns>
    /// <exception cref="ArgumentException">A label or the template is not as expected.</exception>
    /// <exception cref="Checkpoints.CheckpointException">There is no model in the folder, or it is damaged.</exception>
    public ClassifyEstimator Classify(string modelFolder, IReadOnlyList<string> labels, string? promptTemplate = null, string inputColumnName = "Text")
    {
        var options = new ClassifyOptions { ModelFolder = modelFolder, Labels = labels, InputColumnName = inputColumnName };
        options.PromptTemplate = promptTemplate ?? options.PromptTemplate;
        return Classify(options);
    }

    /// <summary>Chooses one of a set of labels for a text.</summary>
    /// <param name="options">The settings; do not change them afterwards.</param>
    /// <returns>The estimator.</returns>
    /// <exception cref="ArgumentException">A setting is out of range; the message names it.</exception>
    /// <exception cref="Checkpoints.CheckpointException">There is no model in the folder, or it is damaged.</exception>
    public ClassifyEstimator Classify(ClassifyOptions options) => new(context, options ?? throw new ArgumentNullException(nameof(options)));
}
